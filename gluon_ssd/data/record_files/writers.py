"""Writes shards: a picture and its objects as one record, and the index that belongs to the file.

Both formats hold the boxes of the data set's records: clipped to the picture, none without area, crowd
regions marked. The picture is the end of the record.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from ..records import Record
from .framing import tfrecord_frame
from .manifest import RECORDIO
from .tf_example import Feature, encode_example

# A RecordIO label begins with these two numbers. Then each object has its class from 0, its box as ltrb
# fractions of the picture, and 1 for a crowd region (where sets made of Pascal VOC have "difficult").
HEADER_WIDTH, OBJECT_WIDTH = 2, 6


@dataclass(frozen=True)
class Item:
    """One picture to write: its ``position`` in the split, its encoded bytes, and all class names."""

    position: int
    file_name: str
    record: Record
    picture: bytes
    class_names: tuple[str, ...]


class ShardWriter(Protocol):
    """Writes one shard and its index. Raises OSError when the disk does not take it."""

    def add(self, item: Item) -> tuple[int, int]:
        """Writes one record and returns its offset and length in the file."""
        ...

    def close(self) -> None: ...


def make_writer(format: str, path: Path, index: Path) -> ShardWriter:
    """Returns the writer of a format for new files; ``tfrecord`` needs the extra of that name."""
    return RecordIOWriter(path, index) if format == RECORDIO else TFRecordWriter(path, index)


class RecordIOWriter:
    """MXNet's indexed RecordIO, labelled like im2rec's detection sets, as `ImageDetIter` reads it.

    The index has a line "position TAB offset" for each record; IRHeader.id is the image id.
    """

    def __init__(self, path: Path, index: Path) -> None:
        import mxnet as mx

        self._recordio, self._error = mx.recordio, mx.base.MXNetError
        self._path = path
        self._file = self._checked(mx.recordio.MXRecordIO, str(path), "w")
        # Not by MXNet's own class, which prints a traceback where the index cannot be opened.
        self._index: IO[str] = open(index, "w", encoding="ascii")  # noqa: SIM115, `close` closes it

    def add(self, item: Item) -> tuple[int, int]:
        # The field of IRHeader is unsigned; a negative id becomes its two's complement.
        header = self._recordio.IRHeader(0, recordio_label(item.record), item.record.image_id % 2**64, 0)
        offset = self._tell()
        data = self._recordio.pack(header, item.picture)
        self._checked(self._file.write, data)
        self._index.write(f"{item.position}\t{offset}\n")
        return offset, self._tell() - offset

    def _tell(self) -> int:
        return self._recordio.MXIndexedRecordIO.tell(self._file)

    def close(self) -> None:
        with self._index:
            if not self._file.is_open:
                return
            # Asked before closing, while MXNet still knows how far it has written.
            expected = self._tell()
            self._file.close()
            # MXNet writes its buffer when it closes and does not look whether the disk took it.
            written = self._path.stat().st_size
            if written != expected:
                what = f"only {written} of {expected} bytes of a shard were written"
                raise OSError(f"{what}; is the disk full?")

    def _checked(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._error as error:
            reason = str(error).splitlines()[-1].rpartition(": ")[2]
            raise OSError(f"MXNet says: {reason}; is the disk full?") from None


class TFRecordWriter:
    """``tf.train.Example`` records with the keys of TensorFlow's object detection, and an index for DALI.

    The index has a line "offset length" for each record, as DALI's tfrecord2idx would write it.
    """

    def __init__(self, path: Path, index: Path) -> None:
        self._file: IO[bytes] = open(path, "wb")  # noqa: SIM115, `close` closes them
        self._index: IO[str] = open(index, "w", encoding="ascii")  # noqa: SIM115

    def add(self, item: Item) -> tuple[int, int]:
        data = tfrecord_frame(encode_example(tfrecord_features(item)))
        offset = self._file.tell()
        self._file.write(data)
        self._index.write(f"{offset} {len(data)}\n")
        return offset, len(data)

    def close(self) -> None:
        with self._file, self._index:
            pass


def recordio_label(record: Record) -> np.ndarray:
    """Returns the label of a RecordIO record: float32 (HEADER_WIDTH + n x OBJECT_WIDTH,)."""
    objects = np.empty((len(record.boxes), OBJECT_WIDTH), np.float32)
    objects[:, 0] = record.classes
    objects[:, 1:5] = _fractions(record)
    objects[:, 5] = record.crowd
    return np.concatenate([np.array((HEADER_WIDTH, OBJECT_WIDTH), np.float32), objects.ravel()])


def tfrecord_features(item: Item) -> dict[str, Feature]:
    """Returns the features of a TFRecord, the picture last. Class labels count from 1, as is usual there."""
    record, classes = item.record, item.record.classes.tolist()
    left, top, right, bottom = _fractions(record).T.tolist()
    return {
        "image/height": [record.height],
        "image/width": [record.width],
        "image/filename": [os.fsencode(item.file_name)],
        "image/source_id": [str(record.image_id).encode()],
        "image/format": [b"png" if item.picture.startswith(b"\x89PNG") else b"jpeg"],
        "image/object/bbox/xmin": left,
        "image/object/bbox/ymin": top,
        "image/object/bbox/xmax": right,
        "image/object/bbox/ymax": bottom,
        "image/object/class/label": [label + 1 for label in classes],
        "image/object/class/text": [item.class_names[label].encode() for label in classes],
        "image/object/is_crowd": record.crowd.astype(int).tolist(),
        # Last, so that the picture ends the record and can be cut off by its size alone (see
        # `PackedPicture`).
        "image/encoded": [item.picture],
    }


def _fractions(record: Record) -> np.ndarray:
    scale = np.array([record.width, record.height] * 2, np.float32)
    fractions: np.ndarray = record.boxes / scale
    return fractions
