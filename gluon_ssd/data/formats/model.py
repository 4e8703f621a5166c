"""The data set between being read in one format and being written in another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..coco_json import CROWD, DIFFICULT_KEPT, IGNORED, NO_SIZE, OCCLUDED, RESPELLED, ROTATED
from ..progress import ProgressReporter, Silent

__all__ = [
    "CROWD",
    "IGNORED",
    "NO_SIZE",
    "OCCLUDED",
    "RESPELLED",
    "ROTATED",
    "Box",
    "DataSet",
    "Options",
    "Picture",
]

# What is lost or changed on the way, as the summary prints it.
CLIPPED = "boxes over the image's border, clipped"
NO_AREA = "boxes without area inside the image, left out"
OTHER_CLASS = "boxes of classes that were not chosen, left out"
MASKS = "outlines (masks), of which only the box is kept"
KEYPOINTS = "objects with keypoints, of which only the box is kept"
NO_BOX = "points and lines, which have no box, left out"
FLAGS_LOST = "flags (difficult, truncated, occluded, ...) that this format has no place for"
MISSING = "images that are named but missing, left out"
NO_LABELS = "images without a label file"
WRONG_SIZE = (
    "images whose annotation gives another size than the file has; the file's is taken, and boxes as "
    "they stand "
    "(--other-size scale, if they are for the size of the annotation)"
)
SCALED = "images whose annotation gives another size than the file has; their boxes are scaled to the file's"
UPRIGHT = "images that EXIF turns, whose boxes are taken for the upright picture"
STORED = "images that EXIF turns, whose boxes are taken for the stored pixels and turned with them"
ASSUMED = (
    "images that EXIF turns, where the size does not tell for which way up boxes are; they are assumed to be "
    "for the upright picture (--orientation stored or upright decides)"
)
DIFFICULT = {
    "keep": DIFFICULT_KEPT,
    "crowd": "objects marked difficult, kept as crowd regions",
    "drop": "objects marked difficult, left out",
}
# The summary shows these as warnings.
WARNINGS = (WRONG_SIZE, ASSUMED)

# What some formats say of an object, under the names that it has in COCO files written here.
FLAGS = ("difficult", "truncated", "occluded", "depiction", "inside")


class Box(NamedTuple):
    """One object: its class index, and (x, y, width, height) in pixels from the image's corner.

    ``area`` is that of the outline where one is known. ``flags`` holds those of FLAGS that are set, and
    ``notes`` what the summary counts of the object.
    """

    label: int
    xywh: tuple[float, float, float, float]
    crowd: bool = False
    area: float | None = None
    flags: dict[str, int] = {}
    notes: tuple[str, ...] = ()


class Picture(NamedTuple):
    """One upright image and its objects.

    ``file`` is where the image is, and ``name`` its name, with ``/``, among the images of its split.
    ``turned`` says that EXIF turns its stored pixels. ``notes`` is what the summary counts of the image.
    ``lost`` has the class and the reason of each object that was left out. ``values`` are the four numbers of
    each box as its format has them, and ``frame`` is the (width, height) that they are for.
    """

    file: Path
    name: str
    width: int
    height: int
    boxes: list[Box]
    turned: bool = False
    notes: tuple[str, ...] = ()
    lost: tuple[tuple[int, str], ...] = ()
    values: tuple[tuple[float, ...], ...] = ()
    frame: tuple[int, int] = (0, 0)


class DataSet(NamedTuple):
    """Class names in order, the pictures of each split by its name (train, val, test), and what was lost.

    ``notes`` counts what belongs to no single picture; ``lines`` are sentences for the user.
    """

    classes: list[str]
    splits: dict[str, list[Picture]]
    notes: Counter[str]
    lines: list[str] = []

    def pictures(self) -> Iterator[Picture]:
        """Yields every picture of every split."""
        for pictures in self.splits.values():
            yield from pictures

    def tally(self) -> Counter[str]:
        """Returns how often each thing was lost or changed, for the pictures that are in the data set."""
        # Counted here and not while reading, so that pictures and classes that were left out later do not
        # count.
        total = Counter(self.notes)
        for picture in self.pictures():
            total.update(picture.notes)
            total.update(reason for _, reason in picture.lost)
            for box in picture.boxes:
                total.update(box.notes)
        return Counter({note: count for note, count in total.items() if count})

    def report(self) -> list[str]:
        """Returns the sentences, then a line for everything that was lost or changed, warnings first."""
        counts = self.tally()
        order = sorted(counts, key=lambda note: note not in WARNINGS)
        return [
            *self.lines,
            *(f"{'warning: ' if note in WARNINGS else ''}{note}: {counts[note]}" for note in order),
        ]


class Options(NamedTuple):
    """What the caller chose: see ``gluon-ssd convert-data --help``. ``progress`` is told of each image.

    ``boxes`` is how the four numbers of a box are read, None as the format has it (see `units.READINGS`).
    ``origin`` is the number of the first pixel in what is read, None as the format has it.
    """

    classes: list[str] | None = None
    difficult: str = "keep"
    skip_missing: bool = False
    progress: ProgressReporter = Silent()
    orientation: str = "auto"
    boxes: str | None = None
    other_size: str = "keep"
    origin: int | None = None
