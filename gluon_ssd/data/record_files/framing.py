"""How RecordIO and TFRecord files wrap a record.

RecordIO (dmlc-core's recordio.h): a magic number, a word with a 3-bit part flag and a 29-bit length, the
data, and padding to four bytes. A record whose data holds the magic number at a multiple of four is split
there into parts, without the number. TFRecord (TensorFlow's record_writer.h): the length, its checksum, the
data, and its checksum.
"""

from __future__ import annotations

import struct

_MAGIC = struct.pack("<I", 0xCED7230A)
_LENGTH_BITS = 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_TF_HEAD, _TF_FOOT = 12, 4


def recordio_payload(data: bytes) -> bytes:
    """Returns what one RecordIO record holds. Raises ValueError when ``data`` is not exactly one record."""
    parts: list[bytes] = []
    place = 0
    # The flags that the next part may have; empty after the last part.
    expected: tuple[int, ...] = (_WHOLE, _FIRST)
    while place < len(data):
        if len(data) < place + 8 or data[place : place + 4] != _MAGIC:
            raise ValueError("no RecordIO record begins here")
        word = int.from_bytes(data[place + 4 : place + 8], "little")
        flag, length = word >> _LENGTH_BITS, word & (1 << _LENGTH_BITS) - 1
        if flag not in expected:
            raise ValueError("the parts of a RecordIO record are out of order")
        parts.append(data[place + 8 : place + 8 + length])
        expected = (_MIDDLE, _LAST) if flag in (_FIRST, _MIDDLE) else ()
        # Each part is padded to a multiple of four bytes.
        place += 8 + length + -length % 4
    if place != len(data) or expected or not parts:
        raise ValueError("the RecordIO record is not complete")
    # Between two parts stood the magic number, which the writer took out so that it marks beginnings only.
    return _MAGIC.join(parts)


def tfrecord_payload(data: bytes) -> bytes:
    """Returns what one TFRecord record holds. Raises ValueError when ``data`` is not exactly one record.

    The record's own checksums need an extra package, so they are not verified here. The manifest has a
    checksum of the picture that needs none.
    """
    if len(data) < _TF_HEAD + _TF_FOOT:
        raise ValueError("the TFRecord record is not complete")
    (length,) = struct.unpack_from("<Q", data)
    if length != len(data) - _TF_HEAD - _TF_FOOT:
        raise ValueError("no TFRecord record of this length begins here")
    return data[_TF_HEAD:-_TF_FOOT]


def tfrecord_frame(payload: bytes) -> bytes:
    """Wraps ``payload`` as one TFRecord record. Needs the extra ``tfrecord``."""
    length = struct.pack("<Q", len(payload))
    return b"".join((length, _masked_crc32c(length), payload, _masked_crc32c(payload)))


def _masked_crc32c(data: bytes) -> bytes:
    """The checksum as TensorFlow stores it.

    It is rotated and shifted, so that the checksum of data that hold checksums stays a good one.
    """
    import google_crc32c

    crc = google_crc32c.value(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)
