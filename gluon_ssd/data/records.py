"""What every data set becomes: one record per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from .images import agreeing_bytes, decode_image, read_bytes


class Packed(Protocol):
    """A picture inside a larger file."""

    def read(self) -> bytes:
        """Return the picture's bytes, from any thread; UserError when they are not there or damaged."""
        ...


@dataclass(frozen=True, eq=False)
class Record:
    """One image and its objects.

    ``width`` and ``height`` are those of the picture that the boxes are for, as stored or upright; where its
    EXIF orientation leaves the size as it is, ``orientation`` says which (see ``orientation.py``). ``boxes``
    is float32 (n, 4), left, top, right, bottom in pixels, inside the image and of positive size; ``classes``
    int32 (n,) is the 0-based class index (background is not counted); ``crowd`` bool (n,) marks regions that
    stand for many objects: training ignores them. ``n`` may be 0.

    ``path`` names the picture in messages. It is the picture's own file unless ``packed`` is given; then it
    is the file that holds it, followed by its name. `read` serves both.
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
        """Return the encoded picture; UserError, naming the file, when it cannot be read."""
        return read_bytes(self.path) if self.packed is None else self.packed.read()

    def pixels(self, reduction: int = 1) -> np.ndarray:
        """Return the picture as RGB uint8 (h, w, 3), turned to agree with the boxes; see `decode_image`.

        Raises UserError, naming the file, for a picture that cannot be read or is not of the record's size.
        """
        return self.decode(self.read(), reduction)

    def decode(self, data: bytes, reduction: int = 1) -> np.ndarray:
        """Return what `pixels` does, of the encoded picture that `read` has returned."""
        size = self.height, self.width
        return decode_image(data, self.path, reduction=reduction, stored=size, orientation=self.orientation)

    def agreeing(self) -> bytes:
        """Return the encoded picture for decoders that do not follow EXIF; see `agreeing_bytes`."""
        size = self.height, self.width
        return agreeing_bytes(self.read(), self.path, size, self.orientation)

    def objects(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (boxes, classes) without the crowd regions."""
        if not self.crowd.any():
            return self.boxes, self.classes
        keep = ~self.crowd
        return self.boxes[keep], self.classes[keep]


class Records(Protocol):
    """What a loader asks of a data set."""

    @property
    def records(self) -> Sequence[Record]: ...
