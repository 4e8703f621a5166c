"""safetensors files, read and written."""

import os
import resource
import struct

import numpy as np
import pytest
from small import same
from torch_resnet import resnet_state

from gluon_ssd.convert import (
    convert_file,
    read_safetensors,
    read_torch,
    read_weights,
    write_safetensors,
    write_torch,
)
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


def test_safetensors_there_and_back(tmp_path):
    from safetensors import numpy

    state = resnet_state(18, width=8)
    write_torch(state, tmp_path / "a.pth")
    convert_file(tmp_path / "a.pth", tmp_path / "a.safetensors")
    theirs = numpy.load_file(tmp_path / "a.safetensors")
    assert same(theirs, state)
    convert_file(tmp_path / "a.safetensors", tmp_path / "b.pth")
    assert same(read_torch(tmp_path / "b.pth"), state)


def test_safetensors_in_bfloat16_and_damaged(tmp_path):
    head = b'{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    data = struct.pack("<Q", len(head)) + head + b"\xc0\x3f\x00\xc0"
    (tmp_path / "a.safetensors").write_bytes(data)
    kind, found = read_weights(tmp_path / "a.safetensors")
    assert (kind, found["w"].dtype, found["w"].tolist()) == ("safetensors", np.float32, [1.5, -2])
    (tmp_path / "a.safetensors").write_bytes(data[:-1])
    with pytest.raises(UserError, match="a.safetensors: damaged, or no safetensors file"):
        read_weights(tmp_path / "a.safetensors")
