"""What is written, read back here and, where it is installed, by torch.load(weights_only=True)."""

import os

import numpy as np
import pytest

from gluon_ssd.convert import read_torch, write_torch
from gluon_ssd.errors import UserError

TYPES = ["float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.fixture
def state():
    arrays = {f"layer.{name}": (np.arange(24).reshape(2, 3, 4) % 5).astype(name) for name in TYPES}
    arrays["scalar"] = np.float32(2.5)
    arrays["empty"] = np.zeros((0, 3), np.float32)
    arrays["turned"] = np.arange(6, dtype=np.float32).reshape(2, 3).T
    arrays["big_endian"] = np.arange(3, dtype=">f4")
    arrays["gewöhnlich"] = np.array([np.nan, -0.0, np.inf], np.float32)
    return arrays


def test_reads_back_bit_for_bit(state, tmp_path):
    write_torch(state, tmp_path / "a.pth")
    found = read_torch(tmp_path / "a.pth")
    assert list(found) == list(state)
    for name, value in state.items():
        value = np.asarray(value)
        assert (found[name].dtype, found[name].shape) == (value.dtype.newbyteorder("="), value.shape)
        assert found[name].tobytes() == value.astype(found[name].dtype).tobytes()


def test_the_same_state_gives_the_same_bytes(state, tmp_path):
    write_torch(state, tmp_path / "a.pth")
    write_torch(dict(state), tmp_path / "b.pth")
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()


@pytest.mark.parametrize("mapped", [False, True])
def test_torch_loads_it(state, tmp_path, mapped):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")
    write_torch(state, tmp_path / "a.pth")
    found = torch.load(tmp_path / "a.pth", weights_only=True, mmap=mapped)
    assert type(found).__name__ == "OrderedDict"
    assert list(found) == list(state)
    for name, value in state.items():
        value = np.ascontiguousarray(value).reshape(np.shape(value))
        assert str(found[name].dtype) == f"torch.{value.dtype.name}"
        assert found[name].is_contiguous()
        assert found[name].data_ptr() % 64 == 0 or not mapped or not value.size
        assert found[name].numpy().tobytes() == value.astype(value.dtype.newbyteorder("<")).tobytes()


def test_a_type_that_torch_lacks_leaves_no_file(tmp_path):
    with pytest.raises(UserError, match="^w: PyTorch has no tensors of type uint16"):
        write_torch({"w": np.ones(2, np.uint16)}, tmp_path / "a.pth")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    write_torch({"w": np.ones(2, np.float32)}, path)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="a.pth: cannot be written: No space left on device"):
        write_torch({"w": np.zeros(2, np.float32)}, path)
    assert read_torch(path)["w"].tolist() == [1, 1]
    assert list(tmp_path.iterdir()) == [path]
