"""What kinds of error a detector makes, and what each of them costs.

The kinds are those of TIDE: Bolya, Foley, Hays and Hoffman, "TIDE: A General Toolbox for Identifying Object
Detection Errors" (ECCV 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..boxes import pairwise_iou
from .confusion import greedy, share_within

CLASS, LOCATION, BOTH, DUPLICATE, BACKGROUND, MISSED = KINDS = (
    "class",
    "location",
    "both",
    "duplicate",
    "background",
    "missed",
)
RIGHT, IGNORED = "right", "ignored"
# A detection that overlaps an object by at least the first IoU has found its place; one that overlaps every
# object by less than the second has found background.
FOUND_IOU, TOUCHED_IOU = 0.5, 0.1
# COCO looks at so many detections of an image.
_MOST = 100


@dataclass(frozen=True)
class Assignment:
    """What became of the detections of one image, best first, and of its objects without crowd regions.

    ``order`` (n,): which of the detections given each one is. ``kinds`` (n,): `RIGHT`, `IGNORED` (inside a
    crowd region), or the kind of its error. ``targets`` (n,): the object that a detection is right about, or
    would be, had it the right place or class; -1 for none. ``objects`` (g,): the classes of the objects.
    ``found`` (g,): whether a detection is right about them; ``missed`` (g,): whether no detection even has
    their place or their class.
    """

    order: np.ndarray
    kinds: np.ndarray
    targets: np.ndarray
    objects: np.ndarray
    found: np.ndarray
    missed: np.ndarray

    def count(self, kind: str) -> int:
        """Returns how often ``kind`` occurs: `RIGHT`, or one of `KINDS`."""
        return int(self.missed.sum() if kind == MISSED else (self.kinds == kind).sum())


@dataclass(frozen=True)
class KindCost:
    """``count`` errors of a ``kind``; without any of them AP50 would be higher by ``cost``, from 0 to 1."""

    kind: str
    count: int
    cost: float


Image = tuple[np.ndarray, ...]


def assign(truth: Image, found: Image, score: float = 0.0) -> Assignment:
    """Sorts out the detections of one image whose score is at least ``score``.

    ``truth`` and ``found`` are as for `confusion_matrix`. Detections choose in descending order of score:
    each takes the free object of its class that it overlaps most, if by at least 0.5.
    """
    crowd = np.asarray(truth[2], bool) if len(truth) > 2 else np.zeros(len(truth[1]), bool)
    boxes, classes = (np.asarray(values)[~crowd] for values in truth[:2])
    order = np.argsort(-np.asarray(found[1], np.float64), kind="stable")[:_MOST]
    order = order[np.asarray(found[1])[order] >= score]
    places, predicted = np.asarray(found[0])[order], np.asarray(found[2])[order]
    ious = pairwise_iou(places, boxes)
    same = predicted[:, None] == classes[None, :]
    taken = greedy(np.where(same, ious, -1.0), FOUND_IOU)
    used = np.isin(np.arange(len(classes)), taken)
    kinds, targets = _kinds(ious, same, used)
    kinds[taken >= 0], targets[taken >= 0] = RIGHT, taken[taken >= 0]
    regions, region_class = np.asarray(truth[0])[crowd], np.asarray(truth[1])[crowd]
    within = share_within(places, regions) >= FOUND_IOU
    kinds[(taken < 0) & (within & (predicted[:, None] == region_class)).any(axis=1)] = IGNORED
    reached = targets[np.isin(kinds, (CLASS, LOCATION))]
    return Assignment(
        order, kinds, targets, classes, used, ~used & ~np.isin(np.arange(len(classes)), reached)
    )


def _kinds(ious: np.ndarray, same: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the kinds of error of detections that have no object, and the objects they point at."""
    own, other = np.where(same, ious, 0.0), np.where(same, 0.0, ious)
    best_own, best_other = own.max(axis=1, initial=0), other.max(axis=1, initial=0)
    again = np.where(used, own, 0.0).max(axis=1, initial=0) >= FOUND_IOU
    misplaced = (best_own >= TOUCHED_IOU) & (best_own < FOUND_IOU)
    nowhere = np.maximum(best_own, best_other) < TOUCHED_IOU
    # The order of the tests is TIDE's: the first that holds names the kind.
    tests = [misplaced, best_other >= FOUND_IOU, again, nowhere]
    kinds = np.select(tests, [LOCATION, CLASS, DUPLICATE, BACKGROUND], BOTH).astype("<U10")
    targets = np.full(len(ious), -1, np.int64)
    if ious.shape[1]:
        targets = np.where(kinds == LOCATION, own.argmax(axis=1), targets)
        targets = np.where(kinds == CLASS, other.argmax(axis=1), targets)
    return kinds, targets


def error_costs(truth: Sequence[Image], found: Sequence[Image], score: float) -> list[KindCost]:
    """Returns how often each of `KINDS` occurs at ``score``, and what all detections lose by it in AP50.

    The cost is TIDE's: the AP50 after every error of the kind is repaired, less the AP50 as it is. Of the
    detections that miss an object by their class or their place, the best is put right where the object has
    no right detection; other wrong detections of the kind are removed, and missed objects no longer count.
    """
    every = [assign(*image) for image in zip(truth, found)]
    seen = [assign(*image, score) for image in zip(truth, found)]
    detections = _Table.of(every, found)
    before = detections.ap()
    return [
        KindCost(kind, sum(image.count(kind) for image in seen), detections.repaired(kind).ap() - before)
        for kind in KINDS
    ]


@dataclass(frozen=True)
class _Table:
    """The detections of all images, one row each, and the class of every object that counts.

    ``objects`` (n,): the number of the object that each detection is or would be right about, -1 for none.
    """

    kinds: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    objects: np.ndarray
    truth: np.ndarray
    found: np.ndarray
    missed: np.ndarray

    @classmethod
    def of(cls, images: Sequence[Assignment], found: Sequence[Image]) -> _Table:
        first = np.cumsum([0, *(len(image.objects) for image in images)])
        targets = [np.where(i.targets < 0, -1, i.targets + start) for i, start in zip(images, first)]
        return cls(
            _joined([image.kinds for image in images], "<U10"),
            _joined([np.asarray(each[1])[image.order] for image, each in zip(images, found)], float),
            _joined([np.asarray(each[2])[image.order] for image, each in zip(images, found)], int),
            _joined(targets, int),
            _joined([image.objects for image in images], int),
            _joined([image.found for image in images], bool),
            _joined([image.missed for image in images], bool),
        )

    def repaired(self, kind: str) -> _Table:
        """Returns the table without the errors of a kind."""
        if kind == MISSED:
            return self._with(truth=np.where(self.missed, -1, self.truth))
        kinds, classes = np.where(self.kinds == kind, IGNORED, self.kinds), self.classes.copy()
        rows = self._repairable()
        rows = rows[self.kinds[rows] == kind]
        kinds[rows], classes[rows] = RIGHT, self.truth[self.objects[rows]]
        return self._with(kinds=kinds, classes=classes)

    def _repairable(self) -> np.ndarray:
        """Returns the detections that become right in the right place or class: the best of each object."""
        wrong = np.flatnonzero(np.isin(self.kinds, (CLASS, LOCATION)))
        best_first = wrong[np.argsort(-self.scores[wrong], kind="stable")]
        # Of several that point at one object, np.unique keeps the first.
        objects, places = np.unique(self.objects[best_first], return_index=True)
        return np.asarray(best_first[places[~self.found[objects]]])

    def _with(self, **changes: np.ndarray) -> _Table:
        return _Table(**{**vars(self), **changes})

    def ap(self) -> float:
        """Returns the AP at IoU 0.50, the mean over the classes that have objects; 0 where none has."""
        counted = self.kinds != IGNORED
        scores, classes = self.scores[counted], self.classes[counted]
        right = self.kinds[counted] == RIGHT
        order = np.argsort(-scores, kind="stable")
        classes, right = classes[order], right[order]
        names, objects = np.unique(self.truth[self.truth >= 0], return_counts=True)
        each = [_ap(right[classes == name], int(count)) for name, count in zip(names, objects)]
        return float(np.mean(each)) if each else 0.0


def _joined(parts: Sequence[np.ndarray], dtype: type | str) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *parts])


def _ap(right: np.ndarray, objects: int) -> float:
    """Returns COCO's AP of detections of one class, best first: the mean precision at 101 recalls."""
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    # The precision at a recall is the best at this or any higher one.
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(hits / objects, np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(places, len(right))].mean())
