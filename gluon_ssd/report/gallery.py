"""The pictures of an evaluation: curves, confusion, and predictions beside the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..data.coco import CocoDataset
from .confidence_plot import plot_confidence
from .confusion import confusion_matrix
from .draw import contact_sheet, draw_boxes, sheet_font, side_by_side
from .picture_file import write_picture
from .plots import plot_confusion, plot_pr_curves

SAMPLES = 12
# Height and width in pixels that the truth and the predictions of an image have together, and each of them.
_PAIR, _CELL = (240, 640), (210, 310)
# Detections below this score are not drawn; they would cover the pictures with boxes.
DRAWN_SCORE = 0.3
# The least score with which a detection counts in the confusion matrix, and the least IoU with its object.
CONFUSION_SCORE, CONFUSION_IOU = 0.25, 0.5


def write_pictures(evaluation: Any, dataset: CocoDataset, folder: Path) -> list[Path]:
    """Writes pr_curves.png, confusion.png, samples.jpg and confidence.png into ``folder``.

    Returns their paths. ``evaluation`` has its ``coco_eval`` and curves.
    """
    names = ("pr_curves.png", "confusion.png", "samples.jpg", "confidence.png")
    paths = [folder / name for name in names]
    plot_pr_curves(evaluation.scores.coco_eval, dataset.classes, paths[0])
    plot_confidence(evaluation.scores, paths[3])
    # An evaluation of the first N images has no detections of the others.
    records = [record for record in dataset.records if record.image_id in evaluation.detections]
    matrix = confusion_matrix(
        [(record.boxes, record.classes, record.crowd) for record in records],
        [evaluation.detections[record.image_id] for record in records],
        dataset.classes,
        score=CONFUSION_SCORE,
        iou=CONFUSION_IOU,
    )
    about = f"scores of {CONFUSION_SCORE:g} or more, IoU of {CONFUSION_IOU:g} or more"
    plot_confusion(matrix, dataset.classes, paths[1], about)
    samples = [beside_truth(record, evaluation, dataset) for record in spread(records, SAMPLES)]
    write_picture(contact_sheet(samples, columns=3, cell=_PAIR), paths[2])
    return paths


def spread(items: list[Any], count: int) -> list[Any]:
    """Returns up to ``count`` of ``items``, evenly spread over them."""
    if not items:
        return []
    places = np.linspace(0, len(items) - 1, min(count, len(items)))
    return [items[place] for place in np.unique(places.astype(int))]


def beside_truth(record: Any, evaluation: Any, dataset: CocoDataset) -> np.ndarray:
    """Returns one image twice, RGB uint8: with its annotated boxes, and with what was found."""
    image = record.pixels()
    boxes, labels = record.objects()
    names = [dataset.classes[label] for label in labels]
    size = sheet_font(image, _CELL)
    truth = draw_boxes(image, boxes, names, class_ids=labels, font_size=size)
    xyxy, scores, class_ids = evaluation.detections[record.image_id]
    seen = scores >= DRAWN_SCORE
    names = [dataset.classes[index] for index in class_ids[seen]]
    found = draw_boxes(image, xyxy[seen], names, scores[seen], class_ids[seen], font_size=size)
    return side_by_side(truth, found)
