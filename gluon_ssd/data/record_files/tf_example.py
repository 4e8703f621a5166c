"""Writes ``tf.train.Example``, the protocol buffer in TensorFlow's record files.

The message has one field, a map from names to lists of bytes, floats or integers (TensorFlow's example.proto
and feature.proto). That is so little that the wire format is written directly; reading it is left to others.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Union

Feature = Union[Sequence[bytes], Sequence[float], Sequence[int]]

# Field numbers: Example.features, Features.feature, the map's key and value, and Feature's kinds of list.
_FEATURES, _FEATURE, _KEY, _VALUE, _ITEMS = 1, 1, 1, 2, 1
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_LENGTH_DELIMITED = 2


def encode_example(features: Mapping[str, Feature]) -> bytes:
    """Encodes features in the order given.

    If the last value of the last feature is bytes, these bytes end the message. An empty list is written
    without its kind, which readers take as no values.
    """
    entries = (
        _field(_FEATURE, _field(_KEY, name.encode()) + _field(_VALUE, _feature(values)))
        for name, values in features.items()
    )
    return _field(_FEATURES, b"".join(entries))


def _feature(values: Feature) -> bytes:
    if not len(values):
        return b""
    if isinstance(values[0], bytes):
        return _field(_BYTES_LIST, b"".join(_field(_ITEMS, value) for value in values))  # type: ignore[arg-type]
    # Floats and integers are packed: one field that holds all of them.
    if isinstance(values[0], float):
        return _field(_FLOAT_LIST, _field(_ITEMS, struct.pack(f"<{len(values)}f", *values)))
    # Negative integers are written as their 64-bit two's complement.
    return _field(_INT64_LIST, _field(_ITEMS, b"".join(_varint(int(value) % 2**64) for value in values)))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    """An integer with seven bits in each byte, lowest first; the top bit says that more bytes follow."""
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)
