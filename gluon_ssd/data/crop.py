"""The random crop of SSD (Liu et al. 2016, section 2.2), vectorised over its attempts."""

from __future__ import annotations

import numpy as np

# The options of a crop: the least IoU that it must have with every object. None takes the whole image, -inf
# allows any crop.
MIN_IOUS: tuple[float | None, ...] = (None, 0.1, 0.3, 0.5, 0.7, 0.9, -np.inf)
ATTEMPTS = 50
MIN_SIDE = 0.3
MAX_ASPECT = 2.0

Frame = tuple[int, int, int, int]


def random_crop(
    width: int,
    height: int,
    boxes: np.ndarray,
    rng: np.random.Generator,
    attempts: int = ATTEMPTS,
) -> Frame:
    """Chooses a crop of an image of ``width`` x ``height`` pixels, and returns its ltrb in pixels.

    ``boxes`` float (n, 4) are the objects, ltrb pixels. An option is drawn first: the whole image, a least
    IoU, or any crop. Then up to ``attempts`` crops are drawn, with sides of 0.3 to 1 of the image's and these
    two fractions within a factor of two of each other. The first crop is taken whose IoU with every object
    exceeds the option's and that holds the centre of at least one object. If there is none, another option is
    drawn. In an image without objects there is nothing to miss, and any crop will do.
    """
    boxes = boxes.astype(np.float64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    # The IoU of a crop with an object is at most the ratio of their areas, so the smallest object makes high
    # options impossible; these are skipped without trying. A pixel of slack, because crops are rounded to
    # whole pixels.
    least_crop = max(MIN_SIDE * width - 1, 1) * max(MIN_SIDE * height - 1, 1)
    highest_iou = min(areas.min() / least_crop, 1.0) if len(areas) else 1.0
    # This ends with probability one, since the whole image is one of the options.
    while True:
        option = MIN_IOUS[rng.integers(len(MIN_IOUS))]
        if option is None:
            return 0, 0, width, height
        if option >= highest_iou:
            continue
        crops = _candidates(width, height, attempts, rng)
        good = np.flatnonzero(_acceptable(crops, boxes, areas, option))
        if len(good):
            left, top, right, bottom = crops[good[0]].tolist()
            return int(left), int(top), int(right), int(bottom)


def centres_inside(frame: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Returns whether the centre of each box (n, 4) is strictly inside each frame (..., 4): bool (..., n).

    Boxes and frames are ltrb in the same unit.
    """
    frame = frame[..., None, :]
    x = (boxes[:, 0] + boxes[:, 2]) / 2
    y = (boxes[:, 1] + boxes[:, 3]) / 2
    inside: np.ndarray = (x > frame[..., 0]) & (x < frame[..., 2]) & (y > frame[..., 1]) & (y < frame[..., 3])
    return inside


def _candidates(width: int, height: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random crops (k <= count, 4), ltrb in whole pixels; those of a wrong aspect are left out."""
    sides, places = rng.random((2, 2, count))
    sides = MIN_SIDE + (1 - MIN_SIDE) * sides
    # Crops of a wrong aspect use up an attempt, as in MLPerf's reference; they are not drawn again.
    fits = (sides[0] < MAX_ASPECT * sides[1]) & (sides[1] < MAX_ASPECT * sides[0])
    sides, places = sides[:, fits], places[:, fits]
    start = places * (1 - sides)
    limits = np.array([[width], [height]])
    # Rounding must leave at least one pixel inside the image, however small the image is.
    first = np.minimum(np.rint(start * limits), limits - 1)
    last = np.clip(np.rint((start + sides) * limits), first + 1, limits)
    return np.concatenate([first, last]).T


def _acceptable(crops: np.ndarray, boxes: np.ndarray, areas: np.ndarray, min_iou: float) -> np.ndarray:
    """Whether each crop holds a centre and overlaps every object by more than ``min_iou``: bool (k,)."""
    if not len(boxes):
        return np.ones(len(crops), bool)
    good = np.any(centres_inside(crops, boxes), axis=1)
    # An option without a least IoU needs no overlaps.
    if min_iou > 0:
        corners = np.minimum(crops[:, None, 2:], boxes[:, 2:]) - np.maximum(crops[:, None, :2], boxes[:, :2])
        overlap = np.prod(np.maximum(corners, 0), axis=2)
        crop_areas = (crops[:, 2] - crops[:, 0]) * (crops[:, 3] - crops[:, 1])
        # IoU > t is written as intersection > t * union, which needs no division.
        good &= np.all(overlap > min_iou * (crop_areas[:, None] + areas - overlap), axis=1)
    return good
