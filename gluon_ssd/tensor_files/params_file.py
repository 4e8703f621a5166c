"""Reads and writes MXNet's ``.params`` files without MXNet, whose own reader aborts on a damaged file."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import UserError
from ..files import as_path, atomic_write
from .safe_pickle import Refused, short
from .torch_pickle import BFLOAT16, ElementType, element_array
from .torch_reader import readable

FILE_MAGIC = 0x112
# The versions of an array's format: the first has 64-bit sizes, the second adds a storage type, and in the
# third an array without sizes is a scalar, as in NumPy.
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_TYPES = ("f4", "f8", "f2", "u1", "i4", "i1", "i8", "b1", "i2", "u2", "u4", "u8", BFLOAT16)
_MOST_DIMENSIONS = 32


class _Cursor:
    """Takes pieces from the bytes of a file, one after the other."""

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
    """Returns the arrays of a ``.params`` file by name, without ``arg:`` and ``aux:`` in front.

    bfloat16 becomes float32 of the same values; other types and shapes are those of the file. Raises
    UserError for a file that is damaged or whose arrays have no names.
    """
    path = as_path(path)
    with readable(path, ".params file"):
        cursor = _Cursor(path.read_bytes())
        magic, _, count = cursor.numbers("Q", 3)
        if magic != FILE_MAGIC:
            raise Refused("it does not start like one")
        # An array takes more than a byte, so a larger count is damage, found before it is looped over.
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
    # Before there were versions, an array began with its number of dimensions, and sizes had 32 bits.
    dimensions = cursor.numbers("I")[0] if versioned else head
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
    """Writes arrays by name as ``mxnet.nd.save`` does.

    The file appears whole or not at all. Raises UserError for a type or a scalar that the format cannot hold,
    and when the file cannot be written.
    """
    with atomic_write(as_path(path)) as temporary, temporary.open("wb") as file:
        dump_params(arrays, file)


def dump_params(arrays: Mapping[str, np.ndarray], file: IO[bytes]) -> None:
    """Writes as `write_params` does, into an open file. Raises OSError where the disk does not take it."""
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    names = [name.encode("utf-8") for name in arrays]
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
    # Version 2 with dense storage, then the shape, the device (a CPU, number 0) and the type.
    return struct.pack("<Ii", _V2, 0) + shape + struct.pack("<iii", 1, 0, _TYPES.index(code))
