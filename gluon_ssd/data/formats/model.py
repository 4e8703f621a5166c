"""What a data set is between being read in one format and written in another."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ..progress import Progress, Silent

# What is lost or changed on the way, as the summary prints it.
CLIPPED = "boxes over the image's border, clipped"
NO_AREA = "boxes without area inside the image, left out"
OTHER_CLASS = "boxes of classes that were not chosen, left out"
MASKS = "outlines (masks), of which only the box is kept"
KEYPOINTS = "objects with keypoints, of which only the box is kept"
FLAGS_LOST = "flags (difficult, truncated, occluded, ...) that this format has no place for"
MISSING = "images that are named but missing, left out"
NO_LABELS = "images without a label file"
WRONG_SIZE = "images whose annotation gives another size than the file has; the file's is taken"
NO_SIZE = "images whose annotation gives no size; the file's is taken"

# What some formats tell of an object, under the names they have in COCO files written here.
FLAGS = ("difficult", "truncated", "occluded", "depiction", "inside")


class Box(NamedTuple):
    """One object: class index, (x, y, width, height) in pixels with x, y from the image's corner, flags.

    ``area`` is that of the outline where one is known; ``flags`` holds those that are set of FLAGS.
    """

    label: int
    xywh: tuple[float, float, float, float]
    crowd: bool = False
    area: float | None = None
    flags: dict[str, int] = {}


class Picture(NamedTuple):
    """One image: where its file is, its name under the split's images (with ``/``), size and objects."""

    file: Path
    name: str
    width: int
    height: int
    boxes: list[Box]


class DataSet(NamedTuple):
    """Class names in order, the pictures of each split by its name (train, val, test), and what was lost."""

    classes: list[str]
    splits: dict[str, list[Picture]]
    notes: Counter[str]


class Options(NamedTuple):
    """What the caller chose: see ``gluon-ssd convert-data --help``; ``progress`` is told of each image."""

    classes: list[str] | None = None
    voc_origin: int = 1
    difficult: str = "keep"
    skip_missing: bool = False
    progress: Progress = Silent()


def clip(
    xyxy: tuple[float, float, float, float], width: int, height: int, notes: Counter[str]
) -> tuple[float, float, float, float] | None:
    """Return (x, y, width, height) of the part inside the image, None where there is none; both are noted.

    A border crossed by less than a hundredth of a pixel is rounding and is not noted.
    """
    left, top, right, bottom = xyxy
    inside = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        notes[NO_AREA] += 1
        return None
    if max(abs(a - b) for a, b in zip(xyxy, inside)) > 0.01:
        notes[CLIPPED] += 1
    return inside[0], inside[1], inside[2] - inside[0], inside[3] - inside[1]
