"""What a report shows of an evaluation, as plain values that JSON can keep and no network is needed for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..boxes import area
from ..data.coco import CocoDataset
from ..data.records import Record
from .confusion import confusion_matrix
from .draw import draw_boxes, resized
from .error_kinds import KINDS, MISSED, RIGHT, Assignment, assign, error_costs
from .gallery import CONFUSION_IOU, CONFUSION_SCORE, DRAWN_SCORE
from .pages import as_data
from .plots import precisions
from .run_files import FORMAT

# So many of the worst and as many of all images are shown, the longer side at most so many pixels.
EXAMPLES, SIDE = 12, 480
# The bounds of the groups of object sizes, as the root of the area in pixels; COCO's are 32 and 96.
_SIZES = (0, 16, 32, 64, 96, 192, 384)


def analyse(evaluation: Any, dataset: CocoDataset, made: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns what `evaluation`, with its ``coco_eval`` and curves, tells about a detector on ``dataset``.

    ``made``: what was run, see `provenance`; None where the run folder tells.
    """
    scores = evaluation.scores
    records = [record for record in dataset.records if record.image_id in evaluation.detections]
    truth = [(record.boxes, record.classes, record.crowd) for record in records]
    found = [evaluation.detections[record.image_id] for record in records]
    threshold = scores.best.threshold if scores.best else DRAWN_SCORE
    outcomes = [assign(*image, threshold) for image in zip(truth, found)]
    matrix = confusion_matrix(truth, found, dataset.classes, CONFUSION_IOU, CONFUSION_SCORE)
    return {
        "format": FORMAT,
        "made": made,
        "annotation": str(dataset.annotation),
        "images_dir": str(dataset.images_dir),
        "images": scores.images,
        "detections": scores.detections,
        "seconds": round(evaluation.seconds, 2),
        "threshold": threshold,
        "stats": scores.stats,
        "best": asdict(scores.best) if scores.best else None,
        "classes": [_class(row) for row in scores.classes],
        "precision": _precision(scores.coco_eval),
        "confidence": _confidence(scores.curves.together()),
        "confusion": {
            "score": CONFUSION_SCORE,
            "iou": CONFUSION_IOU,
            "classes": list(dataset.classes),
            "matrix": matrix.tolist(),
        },
        "kinds": [asdict(row) for row in error_costs(truth, found, threshold)],
        "right": sum(outcome.count(RIGHT) for outcome in outcomes),
        "sizes": _sizes(records, outcomes),
        "examples": _examples(records, outcomes, evaluation, dataset.classes),
    }


def _class(row: Any) -> dict[str, Any]:
    """Returns the scores of a class; None instead of NaN, which JSON does not know."""
    values = {"ap": row.ap, "ap50": row.ap50}
    known = {name: None if np.isnan(value) else round(value, 5) for name, value in values.items()}
    return {"name": row.name, "objects": row.objects, **known, "best": asdict(row.best) if row.best else None}


def _precision(coco_eval: Any) -> dict[str, Any]:
    """Returns precision over recall: the means of all classes, and each class at IoU 0.50."""
    names, half, strict = precisions(coco_eval, None)
    return {
        "recall": _short(coco_eval.params.recThrs),
        "half": _short(half.mean(axis=1)) if names else [],
        "strict": _short(strict.mean(axis=1)) if names else [],
        "classes": [{"name": name, "y": _short(curve)} for name, curve in zip(names, half.T)],
    }


def _confidence(together: Any) -> dict[str, Any]:
    values = {"precision": together.precision(), "recall": together.recall(), "f1": together.f1()}
    return {name: _short(curve[0]) for name, curve in values.items()}


def _short(values: Any) -> list[float | None]:
    """Returns numbers as JSON keeps them: three digits are more than a curve shows."""
    return [None if not np.isfinite(value) else round(float(value), 4) for value in np.asarray(values)]


def _sizes(records: Sequence[Record], outcomes: Sequence[Assignment]) -> list[dict[str, Any]]:
    """Returns how many objects there are of each size, in pixels of the image, and how many were found."""
    sides = [np.sqrt(area(record.boxes[~record.crowd])) for record in records]
    side = np.concatenate([np.zeros(0), *sides])
    found = np.concatenate([np.zeros(0, bool), *(outcome.found for outcome in outcomes)])
    group = np.searchsorted(_SIZES, side, side="right") - 1
    return [
        {"low": low, "high": high, "objects": int((group == k).sum()), "found": int(found[group == k].sum())}
        for k, (low, high) in enumerate(zip(_SIZES, [*_SIZES[1:], None]))
    ]


def _examples(
    records: Sequence[Record], outcomes: Sequence[Assignment], evaluation: Any, classes: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Returns the images with the lowest F1, the most errors first among equals, and some at random."""
    order = sorted(range(len(records)), key=lambda index: _goodness(outcomes[index]))
    worst = [index for index in order if _goodness(outcomes[index])[0] < 1][:EXAMPLES]
    chance = np.random.default_rng(0).permutation(len(records))[:EXAMPLES]
    return {
        group: [
            _example(records[k], outcomes[k], evaluation.detections[records[k].image_id], classes)
            for k in chosen
        ]
        for group, chosen in (("worst", worst), ("random", sorted(chance.tolist())))
    }


def _goodness(outcome: Assignment) -> tuple[float, int]:
    """Returns the F1 of an image, and the number of its errors, negative: lower is worse."""
    right = outcome.count(RIGHT)
    wrong = sum(outcome.count(kind) for kind in KINDS if kind != MISSED)
    lost = len(outcome.objects) - right
    return (2 * right / (2 * right + wrong + lost) if right + wrong + lost else 1.0), -wrong - lost


def _example(record: Record, outcome: Assignment, found: Any, classes: Sequence[str]) -> dict[str, Any]:
    """Returns an image twice, with its annotated boxes and with what was found, and what is wrong there."""
    image = resized(record.pixels(_reduction(record)), SIDE)
    scale = image.shape[1] / record.width
    boxes, labels = record.objects()
    truth = draw_boxes(image, boxes * scale, [classes[label] for label in labels], class_ids=labels)
    xyxy, scores, class_ids = (values[outcome.order] for values in found)
    names = [classes[label] for label in class_ids]
    drawn = draw_boxes(image, xyxy * scale, names, scores, class_ids)
    counts = {kind: outcome.count(kind) for kind in (RIGHT, *KINDS)}
    return {
        "name": record.path.name,
        "f1": round(_goodness(outcome)[0], 3),
        "counts": {kind: count for kind, count in counts.items() if count},
        "width": image.shape[1],
        "height": image.shape[0],
        "truth": as_data(truth),
        "found": as_data(drawn),
    }


def _reduction(record: Record) -> int:
    """Returns the fraction, 1/1 to 1/8, at which a JPEG is decoded that is only shown small."""
    longest = max(record.width, record.height)
    return next((factor for factor in (8, 4, 2) if longest // factor >= SIDE), 1)
