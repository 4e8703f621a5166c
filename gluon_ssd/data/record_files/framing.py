"""How RecordIO and TFRecord files wrap a record.

RecordIO (dmlc-core's recordio.h): a magic number, a word with a 3-bit part flag and a 29-bit length, the
data, padding to four bytes. A record whose data holds the magic number at a multiple of four is split there
into parts, without the number. TFRecord (TensorFlow's record_writer.h): length, its checksum, data, its
checksum.
"""

from __future__ import annotations

import struct

_MAGIC = struct.pack("<I", 0xCED7230A)
_LENGTH_BITS = 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_TF_HEAD, _TF_FOOT = 12, 4


def recordio_payload(data: bytes) -> bytes:
    """Return what one RecordIO record holds; ValueError when ``data`` is not exactly one record."""
    parts: list[bytes] = []
    place = 0
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
        place += 8 + length + -length % 4
    if place != len(data) or expected or not parts:
        raise ValueError("the RecordIO record is not complete")
    return _MAGIC.join(parts)


def tfrecord_payload(data: bytes) -> bytes:
    """Return what one TFRecord record holds; ValueError when ``data`` is not exactly one record.

    The checksums are not looked at: the manifest has one of the picture that needs no extra package.
    """
    if len(data) < _TF_HEAD + _TF_FOOT:
        raise ValueError("the TFRecord record is not complete")
    (length,) = struct.unpack_from("<Q", data)
    if length != len(data) - _TF_HEAD - _TF_FOOT:
        raise ValueError("no TFRecord record of this length begins here")
    return data[_TF_HEAD:-_TF_FOOT]


def tfrecord_frame(payload: bytes) -> bytes:
    """Wrap ``payload`` as one TFRecord record. Needs the extra ``tfrecord``."""
    length = struct.pack("<Q", len(payload))
    return b"".join((length, _masked_crc32c(length), payload, _masked_crc32c(payload)))


def _masked_crc32c(data: bytes) -> bytes:
    """TensorFlow rotates and shifts its checksums, so that one of data with checksums inside stays good."""
    import google_crc32c

    crc = google_crc32c.value(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)
