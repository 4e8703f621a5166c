"""A picture with what was found on it: what every writer takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..detections import Detections
from ..report.draw import draw_boxes


@dataclass(frozen=True)
class Shown:
    """``pixels`` is the picture, RGB uint8 (H, W, 3), and ``path`` the file it is from.

    ``name`` is that of its results, without suffix, different for each picture; ``picture`` is the name of
    the annotated one. ``frame`` and ``seconds`` tell where in a video it is; None for an image. ``tracks``:
    the number of the thing that each detection is of, the same over the frames of a video, 0 for none; None
    without tracking.
    """

    found: Detections
    pixels: np.ndarray
    path: Path
    name: str
    picture: str
    frame: int | None = None
    seconds: float | None = None
    tracks: tuple[int, ...] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Returns height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def drawn(self) -> np.ndarray:
        """Returns the picture with its boxes, RGB uint8 (H, W, 3)."""
        found, names = self.found, self.found.names
        if self.tracks is not None:
            names = [f"#{track} {name}" if track else name for track, name in zip(self.tracks, names)]
        return draw_boxes(self.pixels, found.xyxy, names, found.scores, found.class_ids)
