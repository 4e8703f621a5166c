"""The confusion matrix: which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..boxes import area, pairwise_iou


def confusion_matrix(
    truth: Sequence[tuple[np.ndarray, ...]],
    detections: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    classes: int | Sequence[str],
    iou: float = 0.5,
    score: float = 0.25,
) -> np.ndarray:
    """Counts (true class, predicted class) pairs over a set of images.

    `truth` has for each image boxes (g, 4) xyxy, class ids (g,) and, if there are any crowd regions, a bool
    (g,) that marks them. `detections` has for each image boxes (n, 4) xyxy, scores (n,) and class ids (n,),
    in the same order of images and in the same units. `classes` are the names, or how many there are.
    Detections below `score` do not count.

    Detections choose in descending order of score, whatever their class: each takes the free object that it
    overlaps most, if by at least `iou`. Detections without an object are in the last row (background taken
    for a class), unless a crowd region covers at least the share `iou` of them. Objects without a detection
    are in the last column.

    Returns int64 (C + 1, C + 1): rows are true classes, columns predicted classes, and index C is the
    background. Raises ValueError where the two lists differ in length or a class id lies outside 0..C-1.
    """
    count = classes if isinstance(classes, int) else len(classes)
    if len(truth) != len(detections):
        raise ValueError(f"truth covers {len(truth)} images and detections {len(detections)}")
    pairs = [_pairs(gt, found, count, iou, score) for gt, found in zip(truth, detections)]
    rows, columns = np.concatenate([np.zeros((2, 0), np.int64), *pairs], axis=1)
    size = count + 1
    # Each pair of classes is one cell of the flattened matrix.
    return np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)


def _pairs(
    truth: tuple[np.ndarray, ...],
    found: tuple[np.ndarray, np.ndarray, np.ndarray],
    background: int,
    iou: float,
    score: float,
) -> np.ndarray:
    """True and predicted class of each pair in one image: (2, pairs)."""
    gt_boxes = np.asarray(truth[0], np.float64).reshape(-1, 4)
    gt_classes = np.asarray(truth[1], np.int64).reshape(-1)
    crowd = np.asarray(truth[2], bool).reshape(-1) if len(truth) > 2 else np.zeros(len(gt_classes), bool)
    scores = np.asarray(found[1], np.float64).reshape(-1)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= score]
    boxes = np.asarray(found[0], np.float64).reshape(-1, 4)[order]
    predicted = np.asarray(found[2], np.int64).reshape(-1)[order]
    for ids in (gt_classes, predicted):
        if len(ids) and (ids.min() < 0 or ids.max() >= background):
            raise ValueError(f"class ids must lie in 0..{background - 1}, got {ids.min()}..{ids.max()}")

    # An overlap of -1 keeps crowd regions from being taken: they stand for many objects.
    matched = greedy(np.where(crowd, -1.0, pairwise_iou(boxes, gt_boxes)), iou)
    ignored = (matched < 0) & (share_within(boxes, gt_boxes[crowd]) >= iou).any(axis=1)
    # An index of -1, no object, picks the last entry, which is the background.
    objects = np.append(gt_classes, background)[matched]
    missed = np.setdiff1d(np.flatnonzero(~crowd), matched)
    rows = np.concatenate([objects[~ignored], gt_classes[missed]])
    return np.stack([rows, np.concatenate([predicted[~ignored], np.full(len(missed), background)])])


def greedy(ious: np.ndarray, threshold: float) -> np.ndarray:
    """Returns the index of the object that each detection (row, best first) takes, -1 for none."""
    matched = np.full(len(ious), -1, np.int64)
    left = np.where(ious >= threshold, ious, -1.0)
    for row in np.flatnonzero((left >= 0).any(axis=1)):
        best = int(left[row].argmax())
        # An earlier detection may have taken the object meanwhile.
        if left[row, best] >= 0:
            matched[row] = best
            left[:, best] = -1.0
    return matched


def share_within(boxes: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Returns the share of each box's area that lies in each region: (n, r)."""
    low = np.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    common = area(np.concatenate([low, high], axis=2))
    # Tiny instead of zero, for boxes without area.
    return common / np.maximum(area(boxes)[:, None], np.finfo(np.float64).tiny)
