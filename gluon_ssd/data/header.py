"""The size and the EXIF orientation of a picture, read from its header alone.

JPEG, PNG, WebP and TIFF are read here, by seeking from one block to the next, so that a few kilobytes of a
file are enough. Everything else is left to Pillow.
"""

from __future__ import annotations

import struct
import threading
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

JPEG = b"\xff\xd8"
PNG = b"\x89PNG\r\n\x1a\n"
TIFF = (b"II*\x00", b"MM\x00*")
_EXIF_MARK = b"Exif\x00\x00"
_APP1, _START_OF_SCAN, _END = 0xE1, 0xDA, 0xD9
# Start-of-frame markers, which hold the size: 0xC0 to 0xCF without tables (C4, CC) and extensions (C8).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274
# What a TIFF says of a fourth channel: alpha that is, or is not yet, multiplied into the colours.
_EXTRA_SAMPLES, _MULTIPLIED_ALPHA, _SEPARATE_ALPHA = 338, 1, 2
# TIFF's unsigned integers of one, two and four bytes.
_KINDS = {1: "B", 3: "H", 4: "I"}
# Held while Pillow reads a size beyond its limit, which it does only without one.
PILLOW_LIMIT = threading.Lock()
# A file that claims more directory entries or metadata than any camera writes is damaged.
_MOST_ENTRIES, _MOST_EXIF = 4096, 1 << 20


class Header(NamedTuple):
    """Stored width and height in pixels, and the EXIF orientation, 1 to 8 (1: as stored)."""

    width: int
    height: int
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Stored (width, height)."""
        return self.width, self.height


def read_header(stream: BinaryIO) -> Header | None:
    """Returns the header of the picture that ``stream`` holds; None if there is none that can be read."""
    stream.seek(0)
    start = stream.read(16)
    try:
        if start.startswith(JPEG):
            return _jpeg(stream)
        if start.startswith(PNG):
            return _png(stream)
        if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
            return _webp(stream)
        if start.startswith(TIFF):
            return _tiff(stream)
    except (struct.error, IndexError):
        return None
    return _by_pillow(stream)


def _jpeg(stream: BinaryIO) -> Header | None:
    # In most files EXIF stands in front of the size, so both are collected before a Header is made.
    size, orientation = None, 1
    for marker, length in jpeg_segments(stream):
        if marker in _FRAMES:
            height, width = struct.unpack(">xHH", _read(stream, 5))
            size = width, height
        elif marker == _APP1:
            data = _read(stream, length)
            if data.startswith(_EXIF_MARK):
                orientation = exif_orientation(data)
    return Header(*size, orientation) if size else None


def jpeg_segments(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yields marker and length of the segments in front of the picture's data.

    The stream stands at the content of each while it is yielded. The last segment is the start of the scan,
    where there is one.
    """
    position = len(JPEG)
    while True:
        stream.seek(position)
        head = stream.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            return
        if head[1] == 0xFF:
            # A marker may have any number of fill bytes in front.
            position += 1
            continue
        # The length counts its own two bytes.
        length = int.from_bytes(head[2:], "big")
        yield head[1], length - 2
        if head[1] in (_START_OF_SCAN, _END):
            return
        position += 2 + length


def _png(stream: BinaryIO) -> Header | None:
    size, orientation = None, 1
    position = len(PNG)
    while True:
        stream.seek(position)
        head = stream.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IHDR":
            width, height = struct.unpack(">II", _read(stream, 8))
            size = width, height
        elif kind == b"eXIf":
            orientation = exif_orientation(_read(stream, length))
        elif kind == b"IEND" or size is None:
            break
        # A chunk is its length, its kind, the data and a checksum: twelve bytes besides the data.
        position += 12 + length
    return Header(*size, orientation) if size else None


def _webp(stream: BinaryIO) -> Header | None:
    size, orientation = None, 1
    position = 12
    while True:
        stream.seek(position)
        head = stream.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        if kind == b"EXIF":
            orientation = exif_orientation(_read(stream, length))
        elif size is None and kind in (b"VP8X", b"VP8 ", b"VP8L"):
            size = _webp_size(kind, _read(stream, 10))
        # WebP is a RIFF file: each block is padded to an even length.
        position += 8 + length + length % 2
    return Header(*size, orientation) if size else None


def _webp_size(kind: bytes, data: bytes) -> tuple[int, int]:
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[6:10])
        # The two top bits of a side are a scale for display.
        return width & 0x3FFF, height & 0x3FFF
    # VP8L packs both sides, less one, into 14 bits each.
    bits = int.from_bytes(data[1:5], "little")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)


def _tiff(stream: BinaryIO) -> Header | None:
    stream.seek(0)
    start = _read(stream, 8)
    order = "<" if start.startswith(b"II") else ">"
    stream.seek(struct.unpack(order + "I", start[4:])[0])
    count = struct.unpack(order + "H", _read(stream, 2))[0]
    tags = _tags(_read(stream, 12 * min(count, _MOST_ENTRIES)), order)
    if _WIDTH not in tags or _HEIGHT not in tags:
        return None
    return Header(tags[_WIDTH], tags[_HEIGHT], _sound(tags.get(_ORIENTATION, 1)))


def with_plain_alpha(data: bytes) -> bytes:
    """Returns a TIFF whose alpha channel, if it has one, is said to be multiplied into the colours already.

    Decoders leave the colours of such a file as they are, and multiply those of any other by the alpha.
    """
    order = "<" if data.startswith(b"II") else ">"
    try:
        start = struct.unpack_from(order + "I", data, 4)[0]
        count = struct.unpack_from(order + "H", data, start)[0]
        for place in range(start + 2, start + 2 + 12 * min(count, _MOST_ENTRIES), 12):
            entry = struct.unpack_from(order + "HHIH", data, place)
            if entry == (_EXTRA_SAMPLES, 3, 1, _SEPARATE_ALPHA):
                value = struct.pack(order + "H", _MULTIPLIED_ALPHA)
                return b"".join((data[: place + 8], value, data[place + 10 :]))
    except struct.error:  # damage, of which the decoder tells
        pass
    return data


def exif_orientation(data: bytes) -> int:
    """Returns the orientation that a block of EXIF gives; 1 where it gives none or is damaged."""
    data = data[len(_EXIF_MARK) :] if data.startswith(_EXIF_MARK) else data
    # EXIF is a small TIFF file of its own; its offsets count from here.
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return 1
    offset = struct.unpack(order + "I", data[4:8])[0]
    count = data[offset : offset + 2]
    if len(count) < 2:
        return 1
    entries = data[offset + 2 : offset + 2 + 12 * struct.unpack(order + "H", count)[0]]
    return _sound(_tags(entries, order).get(_ORIENTATION, 1))


def _tags(entries: bytes, order: str) -> dict[int, int]:
    """The values of those entries of a TIFF directory that are one integer each."""
    tags = {}
    for start in range(0, len(entries) - 11, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", entries, start)
        if count == 1 and kind in _KINDS:
            tags[tag] = struct.unpack_from(order + _KINDS[kind], entries, start + 8)[0]
    return tags


def _sound(orientation: int) -> int:
    return orientation if 1 <= orientation <= 8 else 1


def _read(stream: BinaryIO, length: int) -> bytes:
    return stream.read(max(0, min(length, _MOST_EXIF)))


def _by_pillow(stream: BinaryIO) -> Header | None:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # The warning is about decoding large images, which is not done here.
            warnings.simplefilter("ignore")
            try:
                return _opened(stream)
            except Image.DecompressionBombError:
                with PILLOW_LIMIT:
                    most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
                    try:
                        return _opened(stream)
                    finally:
                        Image.MAX_IMAGE_PIXELS = most
    except Exception:  # damage makes Pillow raise many kinds
        return None


def _opened(stream: BinaryIO) -> Header:
    """Returns the header as Pillow reads it, which raises many kinds of errors."""
    from PIL import Image

    stream.seek(0)
    image = Image.open(stream)
    orientation: Any = image.getexif().get(_ORIENTATION, 1)
    return Header(*image.size, _sound(orientation) if isinstance(orientation, int) else 1)
