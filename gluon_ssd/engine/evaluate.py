"""Evaluation: a network over a data set, scored, with the files that show how it did."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Iterable

import numpy as np

from ..data.coco import CocoDataset, open_dataset
from ..data.epochs import EpochLoader
from ..data.pipelines import InputSettings, make_loader
from ..data.synthetic import DEFAULT_IMAGES, SyntheticDataset
from ..data.transforms import EvalTransform
from ..detector import Detector, restore, to_pixels
from ..errors import UserError
from .archive import atomic_write
from .checkpoint import find_checkpoint, read_checkpoint
from .coco_eval import METRICS, Scores, score
from .device import images_on, target_of

_PRECISIONS: dict[str, dict[str, Any]] = {
    "fp32": {"dtype": "float32", "bn_fp16": False},
    "fp16": {"dtype": "float16"},
}


@dataclass(frozen=True)
class Evaluation:
    """Scores, and per image id the detections (xyxy pixels, scores, class ids) they were made from."""

    scores: Scores
    detections: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]
    seconds: float


def evaluate(
    detector: Detector,
    dataset: CocoDataset | SyntheticDataset,
    *,
    batch_size: int = 8,
    settings: InputSettings = InputSettings(),  # noqa: B008 - frozen
    limit: int | None = None,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Evaluation:
    """Runs ``detector`` over all images of ``dataset`` (the first ``limit``) and scores it with pycocotools.

    ``on_batch`` is told how many images each batch had. Raises UserError for an image that cannot be read.
    """
    start = time.perf_counter()
    chosen = range(len(dataset))[:limit]
    loader = make_loader(
        dataset,
        EvalTransform(detector.net.preprocess),
        batch_size,
        # An image left out would not be scored, and nobody would know.
        replace(settings, on_bad_image="fail"),
        target_of(detector.device, detector.net),
        indices=chosen,
    )
    found: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    with loader:
        for image_ids, sizes, outputs in _one_ahead(detector, loader):
            for image_id, result in zip(image_ids, to_pixels(outputs, sizes)):
                found[int(image_id)] = result
            on_batch(len(image_ids))
    names = dict(zip(dataset.category_ids, dataset.classes))
    scores = score(dataset.coco_gt(), coco_rows(found, dataset.category_ids), list(found), names)
    return Evaluation(scores, found, time.perf_counter() - start)


def _one_ahead(detector: Detector, loader: EpochLoader) -> Iterable[Any]:
    """Results of a batch while the network works on the next."""
    waiting = None
    for batch in loader:
        outputs = detector.detect_batch(images_on(detector.device, batch), batch.layout)
        current = batch.image_ids, batch.sizes, outputs
        if waiting is not None:
            yield waiting
        waiting = current
    if waiting is not None:
        yield waiting


def coco_rows(
    found: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]], category_ids: tuple[int, ...]
) -> np.ndarray:
    """(n, 7) float64 rows of image id, left, top, width, height, score, category id."""
    categories = np.array(category_ids)
    parts = [np.zeros((0, 7))]
    for image_id, (xyxy, scores, class_ids) in found.items():
        rows = np.empty((len(scores), 7))
        rows[:, 0] = image_id
        rows[:, 1:3] = xyxy[:, :2]
        rows[:, 3:5] = xyxy[:, 2:] - xyxy[:, :2]
        rows[:, 5] = scores
        rows[:, 6] = categories[class_ids]
        parts.append(rows)
    return np.concatenate(parts)


def score_table(scores: Scores, most: int = 20) -> str:
    """The twelve numbers and the classes, as text; of more than ``most`` classes the best and the worst."""
    lines = [f"{scores.images} images evaluated, {scores.detections} detections"]
    lines += [f"  {text}   {scores.stats[name]:7.4f}" for name, text in METRICS]
    rows = sorted(scores.classes, key=lambda row: -row.ap if not math.isnan(row.ap) else 2)
    known = [row for row in rows if row.objects]
    half = most // 2
    shown = known if len(known) <= most else known[:half] + known[-half:]
    width = max([len(row.name) for row in shown] + [5])
    if shown:
        lines.append(f"  {'class':{width}}  objects      AP    AP50")
    for number, row in enumerate(shown):
        if len(known) > most and number == half:
            lines.append(f"  ... {len(known) - most} more classes in per_class.csv")
        lines.append(f"  {row.name:{width}}  {row.objects:7}  {row.ap:6.4f}  {row.ap50:6.4f}")
    if len(known) < len(rows):
        lines.append(f"  {len(rows) - len(known)} classes have no object in these images")
    return "\n".join(lines)


def write_evaluation(evaluation: Evaluation, dataset: CocoDataset, folder: Path) -> None:
    """Writes detections (COCO results), scores, the table per class and the plots into ``folder``.

    Raises UserError when it cannot be written.
    """
    from ..report.gallery import write_pictures

    make_folder(folder)
    results = [
        {
            "image_id": int(row[0]),
            "category_id": int(row[6]),
            "bbox": [round(float(value), 3) for value in row[1:5]],
            "score": round(float(row[5]), 5),
        }
        for row in coco_rows(evaluation.detections, dataset.category_ids)
    ]
    _write(folder / "detections.json", json.dumps(results))
    scores = evaluation.scores
    summary = {"images": scores.images, "seconds": round(evaluation.seconds, 2), **scores.stats}
    _write(folder / "scores.json", json.dumps(summary, indent=1))
    rows = [f'"{row.name}",{row.objects},{row.ap:.5f},{row.ap50:.5f}' for row in scores.classes]
    _write(folder / "per_class.csv", "\n".join(["class,objects,ap,ap50", *rows]) + "\n")
    write_pictures(evaluation, dataset, folder)


def make_folder(folder: Path) -> None:
    """Makes ``folder`` unless it is there. Raises UserError when it cannot be written into."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}; choose another --output") from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"{folder}: cannot be written: no permission; choose another --output")


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def validate(
    checkpoint: str | Path,
    *,
    data: str | None = None,
    split: str = "val",
    annotation: str | None = None,
    images: str | None = None,
    output: str | None = None,
    batch_size: int = 8,
    settings: InputSettings = InputSettings(),  # noqa: B008 - frozen
    limit: int | None = None,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.5,
    max_detections: int = 200,
    device: str = "auto",
    precision: str | None = None,
) -> Evaluation:
    """Scores a checkpoint on a data set, prints the table and writes the results beside the checkpoint.

    ``data``: folder; None is the one the checkpoint was trained with. Synthetic images tell the speed alone:
    it is printed, and nothing is written. ``precision``: fp32 or fp16; None is what it was trained in. See
    `gluon-ssd val --help` for the rest.
    """
    path = find_checkpoint(checkpoint)
    saved = read_checkpoint(path)
    if precision is not None:
        saved = replace(saved, options={**saved.options, **_PRECISIONS[precision]})
    net = restore(saved, device)
    detector = Detector(net, score_threshold, iou_threshold, max_detections, fuse=True)
    if settings.data_pipeline == "synthetic":
        made = SyntheticDataset(net.classes, limit or DEFAULT_IMAGES)
        evaluation = evaluate(detector, made, batch_size=batch_size, settings=settings)
        rate = len(made) / evaluation.seconds
        print(f"{len(made)} synthetic images in {evaluation.seconds:.1f} s, {rate:.1f} images/s with scoring")
        return evaluation
    if data is None and annotation is None and images is None:
        keys = ("data", f"{split}_annotation", f"{split}_images")
        data, annotation, images = (saved.recipe.get(key) for key in keys)
    elif data is None:
        data = saved.recipe.get("data")
    if data is None and annotation is None:
        raise UserError("no data set; give its folder: --data /path/to/coco")
    dataset = open_dataset(data or ".", split, annotation, images, classes=net.classes)
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    folder = Path(output).expanduser() if output else run / ("val" if split == "val" else f"val-{split}")
    make_folder(folder)
    evaluation = evaluate(detector, dataset, batch_size=batch_size, settings=settings, limit=limit)
    print(score_table(evaluation.scores))
    write_evaluation(evaluation, dataset, folder)
    print(f"results in {folder}")
    return evaluation
