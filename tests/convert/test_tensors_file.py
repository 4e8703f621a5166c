"""safetensors files as they are written."""

import os
import resource

import numpy as np
import pytest

from gluon_ssd.convert import read_safetensors, write_safetensors
from gluon_ssd.errors import UserError

pytest.importorskip("safetensors", reason='pip install "gluon_ssd[safetensors]"')


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors({"a": np.ones(2, np.float32)}, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(UserError, match="a.safetensors: cannot be written: File too large"):
            write_safetensors({"a": np.ones(9999, np.float32)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_safetensors(path)["a"].tolist() == [1, 1]
    assert [item.name for item in tmp_path.iterdir()] == ["a.safetensors"]


def test_others_may_read_it_as_the_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        write_safetensors({"a": np.ones(2, np.float32)}, tmp_path / "a.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_type_that_it_has_not(tmp_path):
    with pytest.raises(UserError, match="a.safetensors: safetensors cannot hold these: "):
        write_safetensors({"a": np.array([None])}, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())
