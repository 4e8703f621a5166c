"""What tells a published data set from a user's own."""

from __future__ import annotations

from collections.abc import Sequence

from .coco_names import COCO_CLASSES
from .openimages_names import OPENIMAGES_MLPERF_CLASSES

# Name: its classes, and the images of its validation split, by which it is scored.
PUBLISHED: dict[str, tuple[tuple[str, ...], int]] = {
    "COCO 2017": (COCO_CLASSES, 5000),
    "MLPerf's OpenImages": (OPENIMAGES_MLPERF_CLASSES, 24781),
}


def published_set(classes: Sequence[str], val_images: int) -> str | None:
    """Returns the name of the published data set with these classes and validation images, None for others.

    A few images may be missing: `prepare-json` leaves out those without objects.
    """
    for name, (published, images) in PUBLISHED.items():
        if set(classes) == set(published) and 0.98 * images <= val_images <= images:
            return name
    return None
