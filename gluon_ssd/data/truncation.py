"""Whether all of a picture is there, which decoders do not tell: they fill what is missing with grey."""

from __future__ import annotations

import io

from .header import JPEG, PNG, jpeg_segments

_END_OF_IMAGE = b"\xff\xd9"
_START_OF_SCAN = 0xDA


def is_complete(data: bytes) -> bool:
    """Returns whether a JPEG has its end marker, or a PNG its last chunk; True for any other format."""
    if data.startswith(JPEG):
        # Cameras and tools append data behind the end marker, so it is not always last.
        return data.endswith(_END_OF_IMAGE) or _END_OF_IMAGE in data[_entropy_start(data) :]
    if data.startswith(PNG):
        return _has_last_chunk(data)
    return True


def _has_last_chunk(data: bytes) -> bool:
    """Returns whether the chunks of a PNG lead to its last one.

    A chunk whose length is wrong leads elsewhere, and decoders would make room for that length.
    """
    position = len(PNG)
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return True
        # A chunk is its length, its kind, the data and a checksum: twelve bytes besides the data.
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return False


def _entropy_start(data: bytes) -> int:
    """The offset of the first start-of-scan segment of a JPEG, or the length of the data if there is none.

    An end marker in front of that segment belongs to an embedded thumbnail. Behind it, byte stuffing keeps
    the two bytes of the marker from occurring by chance.
    """
    stream = io.BytesIO(data)
    for marker, _ in jpeg_segments(stream):
        if marker == _START_OF_SCAN:
            return stream.tell() - 2
    return len(data)
