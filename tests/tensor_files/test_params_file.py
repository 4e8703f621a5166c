"""MXNet's own files, against MXNet's own reader and writer."""

import struct

import numpy as np
import pytest

from gluon_ssd.convert import read_params, write_params
from gluon_ssd.errors import UserError

TYPES = ["float32", "float64", "float16", "uint8", "int32", "int8", "int64"]


@pytest.fixture(scope="module")
def mx():
    import mxnet

    return mxnet


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_params({"a": [1, 1]}, "~/a.params")
    assert read_params("~/a.params")["a"].tolist() == [1, 1] and (tmp_path / "a.params").is_file()


def test_reads_what_mxnet_wrote(mx, tmp_path):
    arrays = {f"arg:{name}": np.arange(6).reshape(2, 3).astype(name) for name in TYPES}
    arrays["aux:mean"] = np.ones(4, np.float32)
    path = str(tmp_path / "a.params")
    mx.nd.save(path, {name: mx.nd.array(value, dtype=value.dtype) for name, value in arrays.items()})
    found = read_params(path)
    assert list(found) == [*TYPES, "mean"]
    for name, value in arrays.items():
        assert found[name[4:]].dtype == value.dtype
        assert found[name[4:]].tolist() == value.tolist()


def test_mxnet_reads_what_is_written(mx, tmp_path):
    arrays = {name: np.arange(6).reshape(2, 3).astype(name) for name in TYPES}
    arrays["turned"] = np.arange(6, dtype=np.float32).reshape(2, 3).T
    write_params(arrays, tmp_path / "a.params")
    found = mx.nd.load(str(tmp_path / "a.params"))
    assert list(found) == list(arrays)
    for name, value in arrays.items():
        assert found[name].dtype == value.dtype
        assert found[name].asnumpy().tolist() == value.tolist()


def test_bfloat16_becomes_float32(mx, tmp_path):
    path = tmp_path / "a.params"
    mx.nd.save(str(path), {"w": mx.nd.array([7, 8, 9], dtype="int32")})
    head, tail = path.read_bytes().split(struct.pack("<i", 4))
    path.write_bytes(head + struct.pack("<i3H", 12, 0x3FC0, 0xC000, 0x4040) + tail[12:])
    assert (read_params(path)["w"].dtype, read_params(path)["w"].tolist()) == (np.float32, [1.5, -2, 3])


def test_mxnet_wrote_no_names(mx, tmp_path):
    path = str(tmp_path / "a.params")
    mx.nd.save(path, [mx.nd.ones(3)])
    with pytest.raises(UserError, match="its arrays have no names"):
        read_params(path)


def test_the_first_format_had_sizes_of_32_bits(tmp_path):
    head = [(0x112, 8), (0, 8), (1, 8), (2, 4), (1, 4), (2, 4), (1, 4), (0, 4), (0, 4)]
    data = b"".join(value.to_bytes(size, "little") for value, size in head)
    data += np.array([5, 6], "<f4").tobytes() + (1).to_bytes(8, "little") + (1).to_bytes(8, "little") + b"w"
    (tmp_path / "a.params").write_bytes(data)
    assert read_params(tmp_path / "a.params")["w"].tolist() == [[5, 6]]


def test_no_changed_byte_brings_another_exception(tmp_path):
    path = tmp_path / "a.params"
    write_params({"a": np.ones((2, 3), np.float32), "b": np.ones(3, np.float16)}, path)
    data = bytearray(path.read_bytes())
    for position in range(len(data)):
        for value in (0xFF, 0x7F, data[position] ^ 1):
            kept, data[position] = data[position], value
            path.write_bytes(data)
            data[position] = kept
            try:
                read_params(path)
            except UserError as error:
                assert str(error).startswith(f"{path}: cannot be read as a .params file")
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(UserError):
            read_params(path)


def test_what_mxnet_has_no_type_for(tmp_path):
    with pytest.raises(UserError, match=r"^w: a .params file cannot hold a 1-d array of type complex64"):
        write_params({"w": np.ones(2, np.complex64)}, tmp_path / "a.params")
    assert list(tmp_path.iterdir()) == []
