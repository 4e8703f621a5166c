"""Writes PyTorch's zip format without PyTorch, as ``torch.load(weights_only=True)`` accepts it."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import as_path, atomic_write

# PyTorch starts every storage at a multiple of this many bytes, so that files can be mapped into memory.
_ALIGNMENT = 64
_ROOT = "archive"
_STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


def write_torch(state: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Writes a state dict as ``torch.save`` does, with its order and its types.

    The file appears whole or not at all. Raises UserError for a name that is no text, for an element type
    that PyTorch does not have, and when the file cannot be written.
    """
    arrays = {name: _storable(name, value) for name, value in state.items()}
    with atomic_write(as_path(path)) as temporary, zipfile.ZipFile(
        temporary, "w", zipfile.ZIP_STORED
    ) as archive:
        _add(archive, "data.pkl", _pickle(arrays))
        _add(archive, "byteorder", b"little")
        for index, array in enumerate(arrays.values()):
            _add(archive, f"data/{index}", array.tobytes())
        _add(archive, "version", b"3\n")


def _storable(name: str, value: np.ndarray) -> np.ndarray:
    """Returns ``value`` contiguous and little-endian. Raises UserError where PyTorch cannot have it."""
    array = np.asarray(value)
    if not isinstance(name, str):
        raise UserError(f"the tensor name {name!r} is no text")
    if array.dtype.name not in _STORAGES:
        raise UserError(f"{name}: PyTorch has no tensors of type {array.dtype}")
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # With a constant date, the same tensors give the same file.
    info = zipfile.ZipInfo(f"{_ROOT}/{name}", date_time=(1980, 1, 1, 0, 0, 0))
    assert archive.fp is not None
    # The data begin after the 30 bytes of a zip's local header, the name, and the extra field with its own
    # header of 4 bytes. The extra field is filled up until they are aligned.
    start = archive.fp.tell() + 30 + len(info.filename) + 4
    padding = -start % _ALIGNMENT
    info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    archive.writestr(info, data)


# The pickle is written instruction by instruction, in protocol 2, because Python's pickle would have to
# import torch to name its functions.


def _text(text: str) -> bytes:
    data = text.encode("utf-8")
    return b"X" + struct.pack("<I", len(data)) + data


def _number(value: int) -> bytes:
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def _numbers(values: Iterable[int]) -> bytes:
    return b"(" + b"".join(map(_number, values)) + b"t"


_EMPTY_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def _tensor(index: int, array: np.ndarray) -> bytes:
    """Returns the call ``_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())``.

    The last two arguments are ``requires_grad`` and the backward hooks.
    """
    storage = _STORAGES[array.dtype.name]
    strides = [step // array.itemsize for step in array.strides]
    reference = b"(" + _text("storage") + f"ctorch\n{storage}\n".encode() + _text(str(index)) + _text("cpu")
    reference += _number(array.size) + b"tQ"
    arguments = reference + _number(0) + _numbers(array.shape) + _numbers(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"\x89" + _EMPTY_ORDERED_DICT + b"tR"


def _pickle(arrays: Mapping[str, np.ndarray]) -> bytes:
    items = (_text(name) + _tensor(index, array) for index, (name, array) in enumerate(arrays.items()))
    return b"\x80\x02" + _EMPTY_ORDERED_DICT + b"(" + b"".join(items) + b"u."
