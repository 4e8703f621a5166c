"""What every data set becomes: one record per image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Sequence

import numpy as np


@dataclass(frozen=True, eq=False)
class Record:
    """One image and its objects.

    ``width`` and ``height`` are those of the stored pixels (EXIF orientation is not applied). ``boxes`` is
    float32 (n, 4), left, top, right, bottom in pixels, inside the image and of positive size; ``classes``
    int32 (n,) is the 0-based class index (background is not counted); ``crowd`` bool (n,) marks regions that
    stand for many objects: training ignores them. ``n`` may be 0.
    """

    image_id: int
    path: Path
    width: int
    height: int
    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray

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
