"""Evaluation: a network over a data set, scored, with the files that show how it did."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Callable

import numpy as np

from ..boxes import ltrb_to_coco
from ..data.coco import CocoDataset, make_truth
from ..data.epochs import EpochLoader
from ..data.opening import open_dataset
from ..data.pipelines import InputSettings, make_loader
from ..data.synthetic import DEFAULT_IMAGES, SyntheticDataset
from ..data.transforms import EvalTransform
from ..environment import provenance
from ..errors import UserError, visible
from ..files import as_path, atomic_write, make_folder
from ..locks import only_writer
from ..predict import Detector, to_pixels
from ..runtimes.choices import network_device
from ..runtimes.sessions import is_model_file
from ..weights.checkpoint import find_checkpoint, read_checkpoint
from ..weights.loading import restore
from .coco_eval import Scores, per_class_csv, score, score_table
from .distributed import World, connect
from .run_folder import find_data

Found = dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]
ALONE = World()
# Detections are scored as rows of float64, which hold integers up to this one without loss.
_EXACT = 2**53

# What a network is built with, whatever it was trained in, to compute in a precision.
_PRECISIONS: dict[str, dict[str, Any]] = {
    "fp32": {"dtype": "float32", "bn_fp16": False},
    "bf16": {"dtype": "float32", "bn_fp16": False},
    "fp16": {"dtype": "float16"},
}


@dataclass(frozen=True)
class Evaluation:
    """Scores, and the detections by image id (xyxy pixels, scores, class ids) that they were made from."""

    scores: Scores
    detections: Found
    seconds: float


def evaluate(
    detector: Detector,
    dataset: CocoDataset | SyntheticDataset,
    *,
    world: World = ALONE,
    reference: bool = False,
    **options: Any,
) -> Evaluation:
    """Runs ``detector`` over the images of ``dataset``, and scores what it finds.

    ``reference``: with pycocotools, also where a faster package is installed that finds the same.
    ``options`` are those of `detect_all`. All ranks of ``world`` return the scores, rank 0 alone the
    detections. Raises UserError for an image that cannot be read.
    """
    start = time.perf_counter()
    found = detect_all(detector, dataset, world=world, **options)
    scores = score_detections(found, dataset, reference) if world.first else None
    if world.size > 1:
        shared = world.share(scores and replace(scores, coco_eval=None, curves=None))
        scores = scores or shared
    assert scores is not None
    return Evaluation(scores, found, time.perf_counter() - start)


def score_detections(
    found: Found, dataset: CocoDataset | SyntheticDataset, reference: bool = False
) -> Scores:
    """Returns the scores of what `detect_all` has found on images of ``dataset``."""
    names = dict(zip(dataset.category_ids, dataset.classes))
    truth = dataset.coco_gt()
    if max(map(abs, truth.imgs)) > _EXACT:
        truth, found = _numbered(truth, found)
    rows = coco_rows(found, dataset.category_ids)
    return score(truth, rows, list(found), names, reference)


def _numbered(truth: Any, found: Found) -> tuple[Any, Found]:
    """Returns both with other ids of the images, from 1 on and in the same order."""
    number = {image_id: place for place, image_id in enumerate(sorted(truth.imgs), start=1)}
    images = [{**row, "id": number[row["id"]]} for row in truth.dataset["images"]]
    boxes = [{**row, "image_id": number[row["image_id"]]} for row in truth.dataset["annotations"]]
    renumbered = {number[image_id]: result for image_id, result in found.items()}
    return make_truth({**truth.dataset, "images": images, "annotations": boxes}), renumbered


def detect_all(
    detector: Detector,
    dataset: CocoDataset | SyntheticDataset,
    *,
    batch_size: int = 8,
    settings: InputSettings = InputSettings(),  # noqa: B008 - frozen
    limit: int | None = None,
    on_batch: Callable[[int], None] = lambda images: None,
    world: World = ALONE,
    ranks: int | None = None,
) -> Found:
    """Returns the detections on the first ``limit`` images of ``dataset`` by image id, in its order.

    ``on_batch`` is told how many images each batch had. Every rank of ``world`` has its `share`; rank 0
    returns all detections, the others nothing. Collective.
    """
    chosen = range(len(dataset))[:limit]
    found: Found = {}
    # A rank beyond the number of images has none, and only takes part in the exchange.
    if share(chosen, world, ranks):
        loader = make_loader(
            dataset,
            EvalTransform(detector.preprocess),
            batch_size,
            # An image left out would not be scored, and nobody would know.
            replace(settings, on_bad_image="fail"),
            detector.target,
            indices=chosen,
            shard=(world.rank, _sharing(world, ranks)),
        )
        with loader:
            for image_ids, sizes, outputs in _one_ahead(detector, loader):
                for image_id, result in zip(image_ids, to_pixels(outputs, sizes)):
                    found[int(image_id)] = result
                on_batch(len(image_ids))
    parts = world.gather(found)
    if not world.first:
        return {}
    # In the data set's order, so that results do not depend on the number of ranks.
    everywhere = {image_id: result for part in parts for image_id, result in part.items()}
    return {record.image_id: everywhere[record.image_id] for record in dataset.records[: len(chosen)]}


def share(chosen: range, world: World, ranks: int | None = None) -> range:
    """Returns what this rank evaluates of ``chosen``, which the first ``ranks`` share; None: all ranks."""
    sharing = _sharing(world, ranks)
    return chosen[world.rank :: sharing] if world.rank < sharing else range(0)


def _sharing(world: World, ranks: int | None) -> int:
    return world.size if ranks is None else min(ranks, world.size)


def _one_ahead(detector: Detector, loader: EpochLoader) -> Iterable[Any]:
    """Yields ids, sizes and outputs of one batch while the network works on the next."""
    waiting = None
    for batch in loader:
        outputs = detector.detect_batch(batch.images, batch.layout)
        current = batch.image_ids, batch.sizes, outputs
        if waiting is not None:
            yield waiting
        waiting = current
    if waiting is not None:
        yield waiting


def coco_rows(found: Found, category_ids: tuple[int, ...]) -> np.ndarray:
    """Returns (n, 7) float64 rows of image id, left, top, width, height, score, category id."""
    categories = np.array(category_ids)
    parts = [np.zeros((0, 7))]
    for image_id, (xyxy, scores, class_ids) in found.items():
        rows = np.empty((len(scores), 7))
        rows[:, 0] = image_id
        rows[:, 1:5] = ltrb_to_coco(xyxy)
        rows[:, 5] = scores
        rows[:, 6] = categories[class_ids]
        parts.append(rows)
    return np.concatenate(parts)


def result_rows(found: Found, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Returns the detections as COCO's results files have them, rounded."""
    return [
        {
            "image_id": image_id,
            "category_id": category_ids[class_id],
            "bbox": [round(side, 3) for side in box],
            "score": round(score, 5),
        }
        for image_id, (xyxy, scores, class_ids) in found.items()
        for box, score, class_id in zip(ltrb_to_coco(xyxy).tolist(), scores.tolist(), class_ids.tolist())
    ]


def write_evaluation(
    evaluation: Evaluation, dataset: CocoDataset, folder: Path, made: dict[str, Any] | None = None
) -> None:
    """Writes detections (COCO results), scores, the table per class, plots and report.json into ``folder``.

    ``made``: what was run, for the report; None for a training, whose run folder tells. A training and
    `gluon-ssd val` may do so at the same moment; the folder then holds what the later one has found, all of
    it. Raises UserError when it cannot be written.
    """
    make_folder(folder)
    with only_writer(folder):
        _write_files(evaluation, dataset, folder, made)


def _write_files(
    evaluation: Evaluation, dataset: CocoDataset, folder: Path, made: dict[str, Any] | None
) -> None:
    # Here, because scoring alone draws nothing.
    from ..report.analysis import analyse
    from ..report.gallery import write_pictures
    from ..report.run_files import ANALYSIS

    results = result_rows(evaluation.detections, dataset.category_ids)
    _write(folder / "detections.json", json.dumps(results))
    scores = evaluation.scores
    summary: dict[str, Any] = {"images": scores.images, "seconds": round(evaluation.seconds, 2)}
    summary.update(scores.stats, best=asdict(scores.best) if scores.best else None)
    _write(folder / "scores.json", json.dumps(summary, indent=1))
    _write(folder / "per_class.csv", per_class_csv(scores.classes))
    write_pictures(evaluation, dataset, folder)
    _write(folder / ANALYSIS, json.dumps(analyse(evaluation, dataset, made)))


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _write_page(folder: Path) -> Path:
    from ..report.run_page import write_report

    return write_report(folder)


def model_score(dataset: CocoDataset) -> Callable[[Any, str], float]:
    """What tells the mAP of an exported ONNX model with detections in a runtime, on ``dataset``."""

    def score_of(model: Any, runtime: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            path.write_bytes(model.SerializeToString())
            scores = evaluate(Detector(path, runtime=runtime, device="cpu"), dataset).scores
        return float(scores.stats["map"])

    return score_of


def validate(
    checkpoint: str | Path,
    *,
    data: str | None = None,
    split: str = "val",
    annotation: str | None = None,
    images: str | None = None,
    orientation: str | None = None,
    output: str | None = None,
    batch_size: int = 8,
    settings: InputSettings = InputSettings(),  # noqa: B008 - frozen
    limit: int | None = None,
    score_threshold: float | None = None,
    iou_threshold: float | None = None,
    max_detections: int | None = None,
    nms_candidates: int | None = None,
    device: str = "auto",
    precision: str | None = None,
    runtime: str = "auto",
) -> Evaluation:
    """Scores a checkpoint on a data set, prints the table and writes the results beside the checkpoint.

    ``checkpoint`` may also be a file that was exported with detections, whose settings are its own.
    ``data``: folder; None is the one the checkpoint was trained with. Synthetic images tell the speed alone:
    it is printed, and nothing is written. Several processes share the images; rank 0 prints and writes.
    ``precision``: fp32, bf16 or fp16, which MXNet alone computes in; None is what it was trained in.
    ``runtime``: what computes, see `Detector`. Thresholds and ``max_detections`` that are
    None, and ``orientation``, are those of the checkpoint's recipe, as the training scored itself. See
    `gluon-ssd val --help`.
    """
    world = connect()
    with world.together():
        asked = {
            "score_threshold": score_threshold,
            "iou_threshold": iou_threshold,
            "max_detections": max_detections,
            "nms_candidates": nms_candidates,
        }
        detector, recipe, run = _opened(checkpoint, asked, precision, runtime, device, world)
        if settings.data_pipeline == "synthetic":
            return _time_synthetic(detector, limit or DEFAULT_IMAGES, batch_size, settings, world)
        dataset = _dataset_of(recipe, detector.classes, run, split, data, annotation, images, orientation)
        folder = as_path(output) if output else run / ("val" if split == "val" else f"val-{split}")
        if world.first:
            make_folder(folder)
            print(visible("\n".join(dataset.lines)), end="\n" if dataset.lines else "")
        evaluation = evaluate(
            detector, dataset, batch_size=batch_size, settings=settings, limit=limit, world=world
        )
        if world.first:
            print(visible(score_table(evaluation.scores)))
            made = {**provenance(), "checkpoint": str(checkpoint)}
            write_evaluation(evaluation, dataset, folder, made)
            print(f"results in {folder}, all of them on one page: {_write_page(folder)}")
        return evaluation


def _opened(
    where: str | Path,
    asked: Mapping[str, Any],
    precision: str | None,
    runtime: str,
    device: str,
    world: World,
) -> tuple[Detector, Mapping[str, Any], Path]:
    """Returns the detector of a checkpoint or exported file, its recipe, and the folder it belongs to."""
    if precision == "fp16" and (is_model_file(where) or runtime not in ("auto", "mxnet")):
        raise UserError("precision fp16: MXNet alone computes in it, and it runs no exported file")
    computes: dict[str, Any] = {"runtime": runtime, "device": device, "precision": precision or "fp32"}
    if is_model_file(where):
        detector = Detector(where, **_detection_settings({}, asked), **computes)
        return detector, {}, as_path(where).parent
    path = find_checkpoint(where)
    saved = read_checkpoint(path)
    # The network is built for the precision, whatever it was trained in; the weights are cast.
    if precision is not None:
        saved = replace(saved, options={**saved.options, **_PRECISIONS[precision]})
    net = restore(saved, network_device(runtime, device), world.local_rank)
    if precision != "bf16":
        computes["precision"] = "fp32"
    detector = Detector(net, fuse=True, **_detection_settings(saved.recipe, asked), **computes)
    return detector, saved.recipe, path.parent.parent if path.parent.name == "checkpoints" else path.parent


def _detection_settings(recipe: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``asked``, with the recipe's values for None; what neither has keeps the detector's default."""
    values = {key: recipe.get(key) if value is None else value for key, value in asked.items()}
    return {key: value for key, value in values.items() if value is not None}


def _time_synthetic(
    detector: Detector, images: int, batch_size: int, settings: InputSettings, world: World
) -> Evaluation:
    made = SyntheticDataset(detector.classes, images)
    # Random pictures have no truth worth scoring, but a score is part of what an evaluation costs.
    evaluation = evaluate(detector, made, batch_size=batch_size, settings=settings, world=world)
    if world.first:
        rate = images / evaluation.seconds
        print(f"{images} synthetic images in {evaluation.seconds:.1f} s, {rate:.1f} images/s with scoring")
    return evaluation


def _dataset_of(
    recipe: Mapping[str, Any],
    classes: Sequence[str],
    run: Path,
    split: str,
    data: str | None,
    annotation: str | None,
    images: str | None,
    orientation: str | None,
) -> CocoDataset:
    """Opens the data set that was named, else that of the training, with the classes in ``saved``'s order."""
    if data is None:
        given = annotation is not None or images is not None
        found = find_data(recipe, recipe, run, () if given else (split,))
        data = found.get("data")
        if not given:
            annotation, images = found.get(f"{split}_annotation"), found.get(f"{split}_images")
    if data is None and annotation is None:
        raise UserError("no data set; give its folder: --data /path/to/coco")
    way = orientation or recipe.get("orientation", "auto")
    return open_dataset(data or ".", split, annotation, images, classes, way, absent_ok=True)
