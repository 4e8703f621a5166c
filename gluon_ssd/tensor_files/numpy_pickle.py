"""The functions with which `safe_pickle` may build NumPy's arrays, data types and scalars."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .safe_pickle import Call, Refused, Shell, make_dict, short

# Numbers only. An array of objects would hold further pickled values.
_CODES = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"}
# Stands for the class `numpy.ndarray`, which a pickle passes to `_reconstruct` and has no need to call.
_NDARRAY = object()


class _DType(Shell):
    """A data type of a pickle: first the code of its kind and size, then its byte order."""

    def __init__(self, code: Any, *flags: Any) -> None:
        text = code.lstrip("<>|=") if isinstance(code, str) else None
        if text not in _CODES:
            raise Refused(f"an array of type {short(code)}, not of numbers")
        self.value = np.dtype(code)

    def set_state(self, state: Any) -> None:
        # The state is (version, byte order, subtype, names, fields, ...); numbers have no names and fields.
        order, names = state[1], state[3:5]
        if order not in ("<", ">", "|", "=") or any(item is not None for item in names):
            raise Refused("an array type with fields")
        self.value = self.value.newbyteorder(order)


class NumpyArray(Shell):
    """An array of a pickle. ``value`` is set with its state, and is a view of the file's bytes."""

    value: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _view(data, dtype, shape, "F" if fortran else "C")


def _view(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    """Returns the bytes ``data`` as an array, of order C or F. Raises Refused where they do not fit."""
    if isinstance(data, str):  # a string of Python 2
        data = data.encode("latin-1")
    if not isinstance(dtype, _DType) or not isinstance(data, (bytes, bytearray)):
        raise Refused("an array that is not one of numbers")
    sizes = (shape,) if isinstance(shape, int) else shape
    if any(not isinstance(size, int) or size < 0 for size in sizes):
        raise Refused(f"an array of shape {short(shape)}")
    if math.prod(sizes) * dtype.value.itemsize != len(data):
        raise Refused(f"an array of shape {short(shape)} with {len(data)} bytes")
    return np.frombuffer(data, dtype.value).reshape(sizes, order="F" if order == "F" else "C")


def _reconstruct(kind: Any, shape: Any, code: Any) -> NumpyArray:
    if kind is not _NDARRAY:
        raise Refused("an array of a class of its own")
    return NumpyArray()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> NumpyArray:
    array = NumpyArray()
    array.value = _view(data, dtype, shape, order)
    return array


def _scalar(dtype: Any, data: Any) -> Any:
    return _view(data, dtype, (), "C").item()


def _encode(text: Any, encoding: Any) -> bytes:
    # Protocols 0 to 2 have no bytes and write them as encoded text.
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("text that is to be recoded")
    return text.encode("latin-1")


def _bytes(*arguments: Any) -> bytes:
    # Protocols 0 to 2 write empty bytes as a call without arguments.
    if arguments:
        raise Refused("bytes from an argument")
    return b""


_CORES = ("numpy.core", "numpy._core")  # before and since NumPy 2
ALLOWED: dict[str, Any] = {
    "collections OrderedDict": Call(make_dict),
    "numpy ndarray": _NDARRAY,
    "numpy dtype": Call(_DType),
    "_codecs encode": Call(_encode),
    "builtins bytes": Call(_bytes),
    "__builtin__ bytes": Call(_bytes),
    # Sets become lists, because their items, which are only read over, need not be hashable here.
    **{
        f"{module} {kind}": Call(list)
        for module in ("builtins", "__builtin__")
        for kind in ("set", "frozenset")
    },
    **{f"{core}.multiarray _reconstruct": Call(_reconstruct) for core in _CORES},
    **{f"{core}.multiarray scalar": Call(_scalar) for core in _CORES},
    **{f"{core}.numeric _frombuffer": Call(_frombuffer) for core in _CORES},
}
