"""MXNet's ``.params`` files, read and written without MXNet, whose reader aborts on a damaged one."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import atomic_write
from .safe_pickle import Refused, short
from .torch_pickle import BFLOAT16, ElementType, element_array
from .torch_reader import readable

FILE_MAGIC = 0x112
# Versions of one array: with 64-bit sizes, with a storage type, with NumPy's meaning of no sizes.
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_TYPES = ("f4", "f8", "f2", "u1", "i4", "i1", "i8", "b1", "i2", "u2", "u4", "u8", BFLOAT16)
_MOST_DIMENSIONS = 32


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.position = memoryview(data), 0

    def take(self, count: int) -> memoryview:
        piece = self.data[self.position : self.position + count]
        if len(piece) != count:
            raise Refused("the file is cut off")
        self.position += count
        return piece

    def numbers(self, code: str, count: int = 1) -> tuple[int, ...]:
        layout = f"<{count}{code}"
        return struct.unpack(layout, self.take(struct.calcsize(layout)))


def read_params(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays by name, without their ``arg:`` and ``aux:``; bfloat16 becomes float32 of the same values.

    Raises UserError for a file that is damaged or whose arrays have no names.
    """
    path = Path(path)
    with readable(path, ".params file"):
        cursor = _Cursor(path.read_bytes())
        magic, _, count = cursor.numbers("Q", 3)
        if magic != FILE_MAGIC:
            raise Refused("it does not start like one")
        if count > len(cursor.data):
            raise Refused("the file is cut off")
        arrays = [_read_array(cursor) for _ in range(count)]
        names = [_read_name(cursor) for _ in range(cursor.numbers("Q")[0])] if count else []
        if not names or len(names) != count:
            raise Refused("its arrays have no names")
    return {name[4:] if name.startswith(("arg:", "aux:")) else name: a for name, a in zip(names, arrays)}


def _read_name(cursor: _Cursor) -> str:
    return bytes(cursor.take(cursor.numbers("Q")[0])).decode("utf-8")


def _read_array(cursor: _Cursor) -> np.ndarray:
    head = cursor.numbers("I")[0]
    if head in (_V2, _V3) and cursor.numbers("i")[0] != 0:
        raise Refused("it holds a sparse array")
    versioned = head in (_V1, _V2, _V3)
    dimensions = cursor.numbers("I")[0] if versioned else head  # before versions, sizes had 32 bits
    if dimensions > _MOST_DIMENSIONS:
        raise Refused(f"an array of {dimensions} dimensions")
    shape = cursor.numbers("q" if versioned else "I", dimensions) if dimensions else ()
    if not shape and head != _V3:
        raise Refused("it holds an array without a shape")
    cursor.take(8)  # the device that it was on
    flag = cursor.numbers("i")[0]
    if not 0 <= flag < len(_TYPES) or min(shape, default=0) < 0:
        raise Refused(f"an array of type {flag} and shape {short(shape)}")
    kind = ElementType(_TYPES[flag])
    return element_array(cursor.take(math.prod(shape) * kind.size), kind, big_endian=False).reshape(shape)


def write_params(arrays: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Writes arrays by name as ``mxnet.nd.save`` does, atomically. Raises UserError."""
    names = [name.encode("utf-8") for name in arrays]
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<QQQ", FILE_MAGIC, 0, len(arrays)))
        for name, array in arrays.items():
            file.write(_head(name, array))
            file.write(np.asarray(array, array.dtype.newbyteorder("<"), order="C").tobytes())
        file.write(struct.pack("<Q", len(names)))
        for text in names:
            file.write(struct.pack("<Q", len(text)) + text)


def _head(name: str, array: Any) -> bytes:
    code = array.dtype.str[1:]
    if code not in _TYPES or not array.ndim:
        raise UserError(f"{name}: a .params file cannot hold a {array.ndim}-d array of type {array.dtype}")
    shape = struct.pack(f"<I{array.ndim}q", array.ndim, *array.shape)
    return struct.pack("<Ii", _V2, 0) + shape + struct.pack("<iii", 1, 0, _TYPES.index(code))
