"""How well a network's anchors cover the objects of a data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...boxes import ltrb_to_xywh

# SSD takes a default box above this overlap for an object, RetinaNet from it on.
MATCHING_IOU = 0.5
# In pixels. Anchors closer than this are one: float32 rounds their sides differently at each place.
_SAME_PLACE = 0.001


@dataclass(frozen=True)
class AnchorGrid:
    """Anchors of one shape that stand at every crossing of columns and rows. Fractions of the input, float64.

    ``sizes`` (1, 2) is width and height; ``xs`` (columns,) and ``ys`` (rows,) are the centres, ascending.
    """

    sizes: np.ndarray
    xs: np.ndarray
    ys: np.ndarray


def grids_of(anchors: np.ndarray, input_size: tuple[int, int]) -> list[AnchorGrid]:
    """Returns anchors (A, 4), ltrb pixels of an input (height, width) in any order, as grids.

    Rows with the same columns make one grid, so that the anchors of a feature map need one grid per shape.
    """
    xywh = ltrb_to_xywh(anchors.astype(np.float64))
    rounded = np.rint(xywh / _SAME_PLACE)
    # Sorted by shape, then row, then column, so that each row of anchors of one shape is a run.
    xywh, rounded = (array[np.lexsort(rounded[:, [0, 1, 3, 2]].T)] for array in (xywh, rounded))
    # A run starts where the row, the width or the height changes.
    starts = np.flatnonzero((np.diff(rounded[:, 1:], axis=0, prepend=np.nan) != 0).any(axis=1))
    rows: dict[tuple[bytes, bytes], list[np.ndarray]] = defaultdict(list)
    for start, stop in zip(starts, [*starts[1:], len(xywh)]):
        shape, columns = rounded[start, 2:].tobytes(), rounded[start:stop, 0].tobytes()
        rows[shape, columns].append(xywh[start:stop])
    width, height = input_size[::-1]
    return [
        AnchorGrid(
            np.mean(alike, axis=(0, 1))[None, 2:] / [width, height],
            np.mean(alike, axis=0)[:, 0] / width,
            np.mean(alike, axis=1)[:, 1] / height,
        )
        for alike in rows.values()
    ]


def best_iou(boxes: np.ndarray, grids: Sequence[AnchorGrid]) -> np.ndarray:
    """Returns the highest IoU of each box (n, 4), ltrb fractions of the image, with any anchor: float64 (n,).

    Of all places of one shape the nearest overlaps most, along each axis on its own. So a box is compared
    with one anchor per shape and feature map instead of with all.
    """
    boxes = boxes.astype(np.float64)
    best = np.zeros(len(boxes))
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for grid in grids:
        x = _nearest(grid.xs, (boxes[:, 0] + boxes[:, 2]) / 2)
        y = _nearest(grid.ys, (boxes[:, 1] + boxes[:, 3]) / 2)
        for width, height in grid.sizes:
            wide = np.minimum(boxes[:, 2], x + width / 2) - np.maximum(boxes[:, 0], x - width / 2)
            high = np.minimum(boxes[:, 3], y + height / 2) - np.maximum(boxes[:, 1], y - height / 2)
            shared = np.maximum(wide, 0) * np.maximum(high, 0)
            np.maximum(best, shared / (area + width * height - shared), out=best)
    return best


def _nearest(centres: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The nearest of the ``centres`` to each of the ``places``."""
    between = (centres[1:] + centres[:-1]) / 2
    nearest: np.ndarray = centres[np.searchsorted(between, places)]
    return nearest
