"""The sides of the comparisons in run.py, one process each: `workers.py KIND SIDE ARGUMENT`."""

from __future__ import annotations

import contextlib
import io
import resource
import sys
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
from peers import serve

BATCH, IMAGES, DETECTIONS = 8, 1000, 100


def train(side: str, precision: str) -> Callable[[], None]:
    """One training step of ssd_resnet34 on a batch whose targets are ready."""
    from train_step import WORKERS

    return WORKERS[side](BATCH, precision)


def retinanet(side: str, precision: str) -> Callable[[], None]:
    """One training step of retinanet_resnext50_32x4d on two images of 800x800."""
    from train_step import objects

    boxes, labels = objects(2)
    images = np.random.RandomState(0).uniform(-2, 2, (2, 3, 800, 800)).astype(np.float32)
    if side == "torchvision":
        from torch_retinanet import train_step

        return train_step(images, boxes * 800, labels, precision)
    import gluon_ssd
    from gluon_ssd.nn import compute_precision
    from gluon_ssd.training.step import TrainStep

    import mxnet as mx  # isort: skip  after gluon_ssd, which sets the threads

    net = gluon_ssd.get_model("retinanet_resnext50_32x4d")
    compute_precision(net, "bfloat16" if precision == "bf16" else None)
    step = TrainStep(net, net.loss(), optimizer="adam")
    targets = [mx.nd.array(array) for array in net.target_encoder()(boxes, labels)]
    pixels = mx.nd.array(images)

    def work() -> None:
        step(pixels, targets, 1e-4)
        mx.nd.waitall()

    return work


def scoring(side: str, images: str) -> Callable[[], None]:
    """COCO's scores of random detections, everything included that follows from the arrays."""
    from gluon_ssd.data.coco import make_truth
    from gluon_ssd.training.coco_eval import score

    rng, ids = np.random.default_rng(0), range(1, int(images) + 1)

    def boxes(count: int) -> np.ndarray:
        return np.c_[rng.uniform(0, 500, (count, 2)), np.exp(rng.uniform(2, 6, (count, 2)))]

    objects = zip(np.repeat(ids, 7).tolist(), rng.integers(1, 81, 7 * len(ids)).tolist())
    rows: list[dict[str, Any]] = [{"image_id": i, "category_id": c, "iscrowd": 0} for i, c in objects]
    for number, (row, box) in enumerate(zip(rows, boxes(len(rows)).tolist()), 1):
        row.update(id=number, bbox=box, area=box[2] * box[3])
    names = {k: f"class {k}" for k in range(1, 81)}
    categories = [{"id": k, "name": name} for k, name in names.items()]
    content = {"images": [{"id": k} for k in ids], "annotations": rows, "categories": categories}
    count = DETECTIONS * len(ids)
    near = np.array([row["bbox"] for row in rows])[rng.integers(0, len(rows), count)]
    found = np.where(rng.random((count, 1)) < 0.4, near, boxes(count))
    columns = [np.repeat(ids, DETECTIONS), found, rng.random(count), rng.integers(1, 81, count)]
    results = np.column_stack(columns)

    def faster() -> None:
        from faster_coco_eval import COCO, COCOeval_faster

        truth = COCO(content)
        COCOeval_faster(truth, truth.loadRes(results), "bbox").run()

    def ours() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            score(make_truth(content), results, list(ids), names, side == "pycocotools")

    return faster if side == "faster-coco-eval" else ours


def loading(side: str, data: str) -> Callable[[], None]:
    """One epoch of training input on all cores: decoding, augmentation, batches."""
    import cv2
    from data_pipeline import time_loader, time_plain

    from gluon_ssd.data import Preprocess, SSDTrainTransform, open_dataset
    from gluon_ssd.data.pipelines import InputSettings, Target, make_loader
    from gluon_ssd.machine import threads

    cv2.setNumThreads(1)
    dataset, preprocess, epochs = open_dataset(data, "train"), Preprocess((300, 300)), iter(range(10**6))
    if side == "pillow":
        return lambda: time_plain(dataset.records, preprocess, BATCH, threads(), next(epochs)) and None
    settings = InputSettings(workers=threads(), data_pipeline=side)
    transform = SSDTrainTransform(preprocess, attempts=1)
    loader = make_loader(dataset, transform, BATCH, settings, Target(), shuffle=True)
    return lambda: time_loader(loader, next(epochs)) and None


def memory(side: str, batch: str) -> None:
    """Prints the peak memory of the process in MB, after three training steps in float32."""
    from train_step import WORKERS

    work = WORKERS[side](int(batch), "fp32")
    for _ in range(3):
        work()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def growth(side: str, steps: str) -> None:
    """Prints by how many MB a training of ssd_tiny grows in so many steps, after the first 50."""
    from data_pipeline import resident_mb

    import gluon_ssd
    from gluon_ssd.training.step import TrainStep

    import mxnet as mx  # isort: skip
    from train_step import objects

    net = gluon_ssd.get_model("ssd_tiny")
    step = TrainStep(net, net.loss())
    targets = net.target_encoder()(*objects(2))
    sizes = []
    for number in range(50 + int(steps)):
        images = mx.nd.array(np.zeros((2, 3, 192, 192), np.float32))
        step(images, [mx.nd.array(array) for array in targets], 1e-4)
        mx.nd.waitall()
        if number in (49, 49 + int(steps)):
            sizes.append(resident_mb())
    print(sizes[1] - sizes[0])


def main() -> None:
    kind, side, argument = sys.argv[1:]
    measured = {"memory": memory, "growth": growth}
    if kind in measured:
        return measured[kind](side, argument)
    kinds = {"train": train, "retinanet": retinanet, "scoring": scoring, "loading": loading}
    serve(kinds[kind](side, argument), warmup=1)


if __name__ == "__main__":
    main()
