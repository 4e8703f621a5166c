"""The record: one image and its objects, which is what a data set of any format becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from .images import agreeing_bytes, decode_image, read_bytes


class Packed(Protocol):
    """A picture that is stored inside a larger file."""

    def read(self) -> bytes:
        """Returns the picture's encoded bytes. Any thread may call it.

        Raises UserError when the bytes are not there or are damaged.
        """
        ...


@dataclass(frozen=True)
class InMemory:
    """A picture whose encoded bytes have been read or received."""

    data: bytes

    def read(self) -> bytes:
        return self.data


@dataclass(frozen=True, eq=False)
class Record:
    """One image and its objects.

    ``width`` and ``height`` are the size of the picture that the boxes are for. That is either the stored
    picture or the upright one, which EXIF may turn on its side; where both have the same size,
    ``orientation`` says which of them is meant (see ``orientation.py``). ``boxes`` is float32 (n, 4): left,
    top, right, bottom in pixels, inside the image and of positive size. ``classes`` is int32 (n,): the class
    index from 0, background not counted. ``crowd`` is bool (n,) and marks regions that stand for many
    objects; training ignores them. ``n`` may be 0.

    ``path`` names the picture in messages. It is the picture's own file unless ``packed`` is given; then it
    is the path of the file that holds the picture, followed by the picture's name. `read` serves both.
    """

    image_id: int
    path: Path
    width: int
    height: int
    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    packed: Packed | None = None
    orientation: str = "auto"

    def read(self) -> bytes:
        """Returns the encoded picture. Raises UserError, naming the file, when it cannot be read."""
        return read_bytes(self.path) if self.packed is None else self.packed.read()

    def pixels(self, reduction: int = 1) -> np.ndarray:
        """Returns the picture as RGB uint8 (h, w, 3), turned so that the boxes fit it; see `decode_image`.

        Raises UserError, naming the file, for a picture that cannot be read or is not of the record's size.
        """
        return self.decode(self.read(), reduction)

    def decode(self, data: bytes, reduction: int = 1) -> np.ndarray:
        """Returns what `pixels` returns, given the encoded picture that `read` has returned."""
        size = self.height, self.width
        return decode_image(data, self.path, reduction=reduction, stored=size, orientation=self.orientation)

    def agreeing(self) -> bytes:
        """Returns the encoded picture for decoders that do not follow EXIF; see `agreeing_bytes`."""
        size = self.height, self.width
        return agreeing_bytes(self.read(), self.path, size, self.orientation)

    def objects(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns (boxes, classes) without the crowd regions."""
        if not self.crowd.any():
            return self.boxes, self.classes
        keep = ~self.crowd
        return self.boxes[keep], self.classes[keep]


class Records(Protocol):
    """What a loader needs of a data set: its records."""

    @property
    def records(self) -> Sequence[Record]: ...
