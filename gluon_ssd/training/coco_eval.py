"""COCO scores of detections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from ..files import csv_text
from .coco_pass import match
from .confidence import ConfidenceCurves, Operating, confidence_curves

# pycocotools' order of its twelve numbers; sizes are areas below 32^2, up to 96^2, and above, in pixels.
METRICS = (
    ("map", "AP   IoU 0.50:0.95  all     max 100"),
    ("ap50", "AP   IoU 0.50       all     max 100"),
    ("ap75", "AP   IoU 0.75       all     max 100"),
    ("ap_small", "AP   IoU 0.50:0.95  small   max 100"),
    ("ap_medium", "AP   IoU 0.50:0.95  medium  max 100"),
    ("ap_large", "AP   IoU 0.50:0.95  large   max 100"),
    ("ar_1", "AR   IoU 0.50:0.95  all     max   1"),
    ("ar_10", "AR   IoU 0.50:0.95  all     max  10"),
    ("ar_100", "AR   IoU 0.50:0.95  all     max 100"),
    ("ar_small", "AR   IoU 0.50:0.95  small   max 100"),
    ("ar_medium", "AR   IoU 0.50:0.95  medium  max 100"),
    ("ar_large", "AR   IoU 0.50:0.95  large   max 100"),
)


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class; NaN where the set has no such object.

    ``best``: the score threshold of its best F1, None where no detection is right.
    """

    name: str
    objects: int
    ap: float
    ap50: float
    best: Operating | None = None


@dataclass(frozen=True)
class Scores:
    """What an evaluation found. ``stats``: the 12 numbers by the names of `METRICS`, -1 where undefined.

    ``best``: the score threshold of the best F1 over all classes, None where no detection is right.
    ``curves`` are those of the classes; only on ranks other than the first they may be None. ``coco_eval`` is
    None where another process has scored.
    """

    stats: dict[str, float]
    classes: tuple[ClassScore, ...]
    images: int
    detections: int
    coco_eval: Any
    best: Operating | None = None
    curves: ConfidenceCurves | None = None

    @property
    def map(self) -> float:
        """COCO's primary number: the AP averaged over IoU 0.50 to 0.95, all classes and sizes."""
        return self.stats["map"]


def score(
    truth: COCO,
    results: np.ndarray,
    image_ids: Sequence[int],
    category_names: dict[int, str],
    reference: bool = False,
) -> Scores:
    """Scores detections against ``truth`` on exactly the images ``image_ids``.

    ``results``: (n, 7) float64 rows of image id, left, top, width, height (pixels), score, category id. An
    image without a row counts as one with no detections. ``reference``: by pycocotools alone.
    """
    evaluation = match(truth, results, image_ids, reference)
    stats = {name: float(value) for (name, _), value in zip(METRICS, evaluation.stats)}
    curves = confidence_curves(evaluation)
    return Scores(
        stats,
        _per_class(evaluation, category_names, curves),
        len(image_ids),
        len(results),
        evaluation,
        curves.together().best(),
        curves,
    )


def _per_class(
    evaluation: Any, names: dict[int, str], confidence: ConfidenceCurves
) -> tuple[ClassScore, ...]:
    # precision: (IoU, recall, class, size, max detections), -1 where a class has no objects.
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    images = set(evaluation.params.imgIds)
    counts: dict[int, int] = {}
    for annotation in evaluation.cocoGt.dataset["annotations"]:
        if annotation["image_id"] in images and not annotation.get("iscrowd"):
            category = annotation["category_id"]
            counts[category] = counts.get(category, 0) + 1
    rows = []
    for column, category in enumerate(evaluation.params.catIds):
        curves = precision[:, :, column]
        ap = float(curves.mean()) if (curves > -1).all() else float("nan")
        ap50 = float(curves[0].mean()) if (curves > -1).all() else float("nan")
        objects = counts.get(category, 0)
        rows.append(ClassScore(names[category], objects, ap, ap50, confidence.best(column)))
    return tuple(rows)


def score_table(scores: Scores, most: int = 20) -> str:
    """Returns the twelve numbers and the classes as text; of more than ``most`` the best and the worst."""
    lines = [f"{scores.images} images evaluated, {scores.detections} detections"]
    lines += [f"  {text}   {_number(scores.stats[name])}" for name, text in METRICS]
    if min(scores.stats.values()) < 0:
        lines.append("  -: not defined, because these images have no such object")
    lines += _threshold_lines(scores)
    # Without an object a class has no AP but NaN, which would leave the order to chance.
    rows = sorted(scores.classes, key=lambda row: -row.ap if not math.isnan(row.ap) else 2)
    known = [row for row in rows if row.objects]
    half = most // 2
    shown = known if len(known) <= most else known[:half] + known[-half:]
    width = max([len(row.name) for row in shown] + [5])
    if shown:
        lines.append(f"  {'class':{width}}  objects      AP    AP50      F1  at score")
    for number, row in enumerate(shown):
        if len(known) > most and number == half:
            lines.append(f"  ... {len(known) - most} more classes in per_class.csv")
        best = f"{row.best.f1:6.4f}  {row.best.threshold:8.2f}" if row.best else f"{0:6.4f}  {'-':>8}"
        lines.append(f"  {row.name:{width}}  {row.objects:7}  {row.ap:6.4f}  {row.ap50:6.4f}  {best}")
    if len(known) < len(rows):
        lines.append(f"  {len(rows) - len(known)} classes have no object in these images")
    return "\n".join(lines)


def _number(value: float) -> str:
    """Returns one of COCO's numbers; -1 is its word for one that is not defined."""
    return f"{value:7.4f}" if value >= 0 else f"{'-':>7}"


def _threshold_lines(scores: Scores) -> list[str]:
    best = scores.best
    if best is None:
        return []
    return [
        f"  F1   IoU 0.50       best at score threshold {best.threshold:.2f}   {best.f1:7.4f}"
        f"   (precision {best.precision:.4f}, recall {best.recall:.4f})"
    ]


def per_class_csv(classes: Sequence[ClassScore]) -> str:
    """Returns the scores of each class as CSV."""
    rows: list[Sequence[Any]] = [("class", "objects", "ap", "ap50", "f1", "score_threshold")]
    for row in classes:
        rows.append((row.name, row.objects, f"{row.ap:.5f}", f"{row.ap50:.5f}", *_best_cells(row.best)))
    return csv_text(rows)


def _best_cells(best: Operating | None) -> tuple[str, str]:
    return (f"{best.f1:.5f}", f"{best.threshold:.2f}") if best else ("0.00000", "")
