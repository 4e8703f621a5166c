"""Files that belong together are exchanged together, or stay as they were."""

import errno
import os

import pytest

from gluon_ssd.errors import UserError
from gluon_ssd.files import atomic_write
from gluon_ssd.folders import files_together, new_folder


class Crash(BaseException):
    """The end of the process, which tidies nothing up."""


def write_both(tmp_path, monkeypatch, moment, error):
    """Writes two files that are there already; the ``moment``-th renaming raises ``error``."""
    paths = [tmp_path / "m.bin", tmp_path / "m.xml"]
    for path in paths:
        path.write_text("old")
    original, calls = os.replace, []

    def replace(old, new):
        calls.append(new)
        if len(calls) == moment + 1:
            raise error
        original(old, new)

    monkeypatch.setattr(os, "replace", replace)
    with files_together(paths) as folder:
        for path in paths:
            (folder / path.name).write_text("new")
    return paths


@pytest.mark.parametrize("moment", range(4))
def test_a_crash_leaves_no_main_file_beside_the_wrong_others(moment, tmp_path, monkeypatch):
    with pytest.raises(Crash):
        write_both(tmp_path, monkeypatch, moment, Crash())
    assert (tmp_path / "m.xml").exists() == (moment == 0)
    assert moment or (tmp_path / "m.bin").read_text() == "old"


@pytest.mark.parametrize("moment", range(4))
def test_the_old_files_come_back_where_the_new_cannot_have_their_names(moment, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="m.xml: cannot be written: Input/output error; what was there"):
        write_both(tmp_path, monkeypatch, moment, OSError(errno.EIO, os.strerror(errno.EIO)))
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"m.bin": "old", "m.xml": "old"}


def test_files_together_stay_as_they_were_when_one_is_missing(tmp_path):
    paths = [tmp_path / "m.bin", tmp_path / "m.xml"]
    for path in paths:
        path.write_text("old")
    missing = "m.xml: cannot be written: No such file"
    with pytest.raises(UserError, match=missing), files_together(paths) as folder:
        (folder / "m.bin").write_text("new")
    assert [path.read_text() for path in paths] == ["old", "old"]


@pytest.mark.parametrize("write", [lambda path: files_together([path]), new_folder])
def test_what_cannot_be_written_inside_is_told_without_the_hidden_folder(write, tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(UserError) as raised, write(tmp_path / "out") as folder, atomic_write(folder / "m"):
        raise full
    assert str(raised.value).startswith(str(tmp_path / "out") + ": ")
    assert "No space left on device" in str(raised.value) and "partial" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []
