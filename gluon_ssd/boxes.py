"""Box conversions, intersection over union, and the box coder.

All functions work on NumPy arrays, except the two decoders that are part of a graph.

There are three formats: ``ltrb`` is (left, top, right, bottom), ``xywh`` is (centre x, centre y, width,
height), and ``coco`` is (left, top, width, height). Units are those of the caller, pixels or fractions of the
image; the width of a box is right minus left, without adding one. Arrays are (..., 4) floating point and keep
their dtype.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

# SSD's "variances". Box deltas are divided by them, so that all four targets have a similar spread.
SSD_VARIANCES = (0.1, 0.1, 0.2, 0.2)
# RetinaNet's limit for the logarithm of a box's size over that of its anchor, as in torchvision: 16 pixels
# can become 1000 and no more. Without it the exponential of an untrained network's delta could overflow.
LOG_SIZE_LIMIT = math.log(1000 / 16)


def ltrb_to_xywh(boxes: np.ndarray) -> np.ndarray:
    """Returns (..., 4) xywh for (..., 4) ltrb."""
    left_top, right_bottom = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([(left_top + right_bottom) / 2, right_bottom - left_top], axis=-1)


def xywh_to_ltrb(boxes: np.ndarray) -> np.ndarray:
    """Returns (..., 4) ltrb for (..., 4) xywh."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def coco_to_ltrb(boxes: np.ndarray) -> np.ndarray:
    """Returns (..., 4) ltrb for (..., 4) boxes in COCO's format."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def ltrb_to_coco(boxes: np.ndarray) -> np.ndarray:
    """Returns (..., 4) boxes in COCO's format for (..., 4) ltrb."""
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)


def area(boxes: np.ndarray) -> np.ndarray:
    """Returns the areas (...) of boxes (..., 4) ltrb, which are 0 where a side is negative."""
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)


def pairwise_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of every pair: (..., n, 4) and (m, 4) ltrb give (..., n, m).

    A pair of boxes whose union has no area has IoU 0.
    """
    # Arrays of all pairs are large, so the intermediate results are written over each other.
    a, b = first[..., :, None, :], second[..., None, :, :]
    width = np.minimum(a[..., 2], b[..., 2])
    width -= np.maximum(a[..., 0], b[..., 0])
    np.maximum(width, 0, out=width)
    height = np.minimum(a[..., 3], b[..., 3])
    height -= np.maximum(a[..., 1], b[..., 1])
    np.maximum(height, 0, out=height)
    intersection = np.multiply(width, height, out=width)
    union = area(first)[..., :, None] + area(second)[..., None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def encode(boxes: np.ndarray, anchors: np.ndarray, variances: Sequence[float] = SSD_VARIANCES) -> np.ndarray:
    """Returns the box deltas (..., 4) of ``boxes`` relative to ``anchors``, both (..., 4) xywh.

    They are ((x - ax) / aw, (y - ay) / ah, log(w / aw), log(h / ah)) / variances. Source: Girshick et al.,
    "Rich feature hierarchies for accurate object detection and semantic segmentation" (2014), with the
    variances of SSD (Liu et al., 2016).
    """
    offset = (boxes[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    scale = np.log(boxes[..., 2:] / anchors[..., 2:])
    return np.concatenate([offset, scale], axis=-1) / np.asarray(variances, dtype=boxes.dtype)


def decode(deltas: np.ndarray, anchors: np.ndarray, variances: Sequence[float] = SSD_VARIANCES) -> np.ndarray:
    """Returns the boxes (..., 4) ltrb, not clipped, of (..., 4) deltas and (..., 4) xywh anchors.

    It is the inverse of `encode`, except that the boxes are ltrb.
    """
    scaled = deltas * np.asarray(variances, dtype=deltas.dtype)
    centre = scaled[..., :2] * anchors[..., 2:] + anchors[..., :2]
    return xywh_to_ltrb(np.concatenate([centre, np.exp(scaled[..., 2:]) * anchors[..., 2:]], axis=-1))


def decode_in_graph(F: Any, deltas: Any, anchors: Any, variances: Sequence[float]) -> tuple[Any, Any]:
    """Does what `decode` does for (N, K, 4) deltas and xywh anchors, as a part of a graph.

    Returns the centres and the logarithms of the sizes, each (N, K, 2), in the units of the anchors.
    """
    # Sizes stay logarithms, because MXNet's NMS, which comes next, takes them so.
    size = F.slice_axis(anchors, axis=2, begin=2, end=4)
    centre = _scaled(F, deltas, 0, variances[:2]) * size + F.slice_axis(anchors, axis=2, begin=0, end=2)
    return centre, _scaled(F, deltas, 2, variances[2:]) + F.log(size)


def _scaled(F: Any, deltas: Any, begin: int, factors: Sequence[float]) -> Any:
    """Returns the two deltas (N, K, 2) from ``begin`` on, each times its factor."""
    parts = F.slice_axis(deltas, axis=2, begin=begin, end=begin + 2)
    # A product with one number is cheaper than to split and join, and the variances of SSD allow it.
    if factors[0] == factors[1]:
        return parts * factors[0]
    pieces = F.split(parts, 2, axis=2)
    return F.concat(*[piece * factor for piece, factor in zip(pieces, factors)], dim=2)


def decode_corners_in_graph(F: Any, deltas: Any, anchors: Any) -> tuple[Any, Any]:
    """Does what `decode` does for (N, K, 4) deltas without variances and ltrb anchors, as a part of a graph.

    Returns the left top and the right bottom corners, each (N, K, 2), in the units of the anchors. A side is
    at most 62.5 times that of its anchor.
    """
    low, high = (F.slice_axis(anchors, axis=2, begin=begin, end=begin + 2) for begin in (0, 2))
    size = high - low
    shift, half = _of_unit_anchor(F, deltas)
    centre = (low + high) / 2 + shift * size
    return centre - half * size, centre + half * size


def _of_unit_anchor(F: Any, deltas: Any) -> tuple[Any, Any]:
    """Centres and half the sides, each (N, K, 2), of boxes whose anchor has the sides 1 around (0, 0)."""
    growth = F.minimum(F.slice_axis(deltas, axis=2, begin=2, end=4), LOG_SIZE_LIMIT)
    return F.slice_axis(deltas, axis=2, begin=0, end=2), F.exp(growth) / 2


def generalised_iou_in_graph(F: Any, deltas: Any, others: Any) -> Any:
    """Returns (N, K), the generalised IoU of the boxes of ``deltas`` and ``others``, as a part of a graph.

    Both are (N, K, 4) deltas without variances, of the same anchors: which these are makes no difference,
    because all areas are in proportion to that of the anchor. A side is at most 62.5 times that of its
    anchor. Source: Rezatofighi et al., "Generalized Intersection over Union" (2019), algorithm 1.
    """
    (centre, half), (other, other_half) = (_of_unit_anchor(F, each) for each in (deltas, others))
    low, high = centre - half, centre + half
    other_low, other_high = other - other_half, other + other_half
    common = _product(F, F.relu(F.minimum(high, other_high) - F.maximum(low, other_low)))
    union = 4 * (_product(F, half) + _product(F, other_half)) - common
    hull = _product(F, F.maximum(high, other_high) - F.minimum(low, other_low))
    return common / union - (hull - union) / hull


def _product(F: Any, sides: Any) -> Any:
    # The gradient of MXNet's own product is NaN where a side is 0.
    width, height = F.split(sides, 2, axis=2, squeeze_axis=True)
    return width * height
