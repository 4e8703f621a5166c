"""How well a network's anchors cover the objects of a data set."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from gluon_ssd.anchors import AnchorGrid

# SSD takes a default box above this overlap for an object, RetinaNet from it on.
MATCHING_IOU = 0.5


def best_iou(boxes: np.ndarray, grids: Sequence[AnchorGrid]) -> np.ndarray:
    """The highest IoU of each box (n, 4), ltrb fractions of the image, with any anchor: float64 (n,).

    Of the places of one shape the nearest overlaps most, along each axis on its own; so a box is compared
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
    between = (centres[1:] + centres[:-1]) / 2
    nearest: np.ndarray = centres[np.searchsorted(between, places)]
    return nearest
