"""Precision, recall and F1 against confidence: which score threshold serves a detector best."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

# The thresholds that are looked at, from 0 to 0.99.
THRESHOLDS = np.arange(100) / 100


@dataclass(frozen=True)
class Operating:
    """What a score threshold gives: ``precision``, ``recall`` and their harmonic mean ``f1``, from 0 to 1."""

    threshold: float
    f1: float
    precision: float
    recall: float


@dataclass(frozen=True)
class ConfidenceCurves:
    """Counts at IoU 0.50, of each class (C) and for each of `THRESHOLDS` (T).

    ``objects``: int64 (C,), without crowd regions. ``found``: int64 (C, T), detections of at least this
    score; ``right``: those of them that are objects.
    """

    objects: np.ndarray
    found: np.ndarray
    right: np.ndarray

    def together(self) -> ConfidenceCurves:
        """Returns the counts of all classes as those of one: what a user sees who takes all detections."""
        counts = (self.objects, self.found, self.right)
        return ConfidenceCurves(*(count.sum(axis=0, keepdims=True) for count in counts))

    def precision(self) -> np.ndarray:
        """Returns (C, T) the share of detections that are right, NaN where there are none."""
        return np.where(self.found, self.right / np.maximum(self.found, 1), np.nan)

    def recall(self) -> np.ndarray:
        """Returns (C, T) the share of objects that are found, NaN for a class without any."""
        objects = self.objects[:, None]
        return np.where(objects, self.right / np.maximum(objects, 1), np.nan)

    def f1(self) -> np.ndarray:
        """Returns (C, T) 2 PR / (P + R), which is 0 where nothing is right."""
        return 2 * self.right / np.maximum(self.found + self.objects[:, None], 1)

    def best(self, row: int = 0) -> Operating | None:
        """Returns the threshold of the best F1 of class ``row``; None where no detection of it is right.

        Of several thresholds that are equally good it is the middle one, which is farthest from losing. None
        is below every score: what the evaluation itself has dropped, nobody has looked at.
        """
        f1 = self.f1()[row]
        if not f1.max() > 0:
            return None
        total = self.found.sum(axis=0)
        lowest = np.flatnonzero(total == total[0])[-1]
        equal = np.flatnonzero(f1 == f1.max())
        equal = equal[equal >= lowest]
        place = int(equal[len(equal) // 2])
        precision, recall = self.precision()[row, place], self.recall()[row, place]
        return Operating(float(THRESHOLDS[place]), float(f1[place]), float(precision), float(recall))


def confidence_curves(evaluation: Any) -> ConfidenceCurves:
    """Returns the curves of what `coco_pass.match` returns, its classes in its own order.

    Detections that match a crowd region count as neither right nor wrong, as in COCO's precision.
    """
    parameters = evaluation.params
    # The first size is all; the first IoU is 0.50.
    everything = [float(bound) for bound in parameters.areaRng[0]]
    images: dict[int, list[Any]] = {category: [] for category in parameters.catIds}
    for found in evaluation.evalImgs:
        if found and found["aRng"] == everything:
            images[found["category_id"]].append(found)
    objects, found, right = zip(*map(_counts, images.values()))
    return ConfidenceCurves(np.array(objects), np.array(found), np.array(right))


def _counts(images: list[Any]) -> tuple[int, np.ndarray, np.ndarray]:
    """Objects, detections and right ones of a class, from its entries of ``evalImgs``."""
    objects = sum(not ignored for each in images for ignored in each["gtIgnore"])
    scores = np.array(list(chain.from_iterable(each["dtScores"] for each in images)), np.float64)
    matched = np.array(list(chain.from_iterable(each["dtMatches"][0] for each in images)), np.int64) > 0
    ignored = np.array(list(chain.from_iterable(each["dtIgnore"][0] for each in images)), np.bool_)
    return objects, _at_least(scores[~ignored]), _at_least(scores[~ignored & matched])


def _at_least(scores: np.ndarray) -> np.ndarray:
    """Returns how many of ``scores`` are at least as high as each of `THRESHOLDS`, int64."""
    return len(scores) - np.searchsorted(np.sort(scores), THRESHOLDS)
