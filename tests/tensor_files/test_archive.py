"""The archive that checkpoints are."""

import zipfile

import numpy as np

from gluon_ssd.tensor_files.archive import write_archive


def test_the_same_content_is_the_same_file_at_any_time(tmp_path, monkeypatch):
    files = [tmp_path / name for name in ("a.ckpt", "b.ckpt")]
    for year, file in enumerate(files, start=2001):
        # What zipfile asks for the date that it gives a file of no date.
        monkeypatch.setattr(zipfile.time, "localtime", lambda *_, year=year: (year, 2, 3, 4, 5, 6, 7, 8, 9))
        write_archive(file, {"w": np.arange(3.0)}, {"step": 1})
    assert files[0].read_bytes() == files[1].read_bytes()
