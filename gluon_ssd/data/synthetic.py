"""Random batches that are made once, to measure the speed of a network without its input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .batch import Batch, Target
from .coco import make_truth
from .epochs import Encoder, EpochLoader, encode_targets
from .records import Record, Records
from .transforms import EvalTransform

DEFAULT_IMAGES = 1024
# Objects per image: COCO has 7.3 on average.
OBJECTS = 7
_SIDE = 512


class SyntheticDataset:
    """Records without files, where there is no data set: ``count`` images with 7 random objects each."""

    def __init__(self, classes: Sequence[str], count: int = DEFAULT_IMAGES, seed: int = 0) -> None:
        self.classes = tuple(classes)
        self.category_ids = tuple(range(1, len(self.classes) + 1))
        self.annotation = Path("synthetic")
        self.dropped: dict[str, int] = {}
        rng = np.random.default_rng(seed)
        boxes, labels = random_objects(rng, count, len(self.classes))
        boxes *= _SIDE
        crowd = np.zeros(OBJECTS, np.bool_)
        self.records = [
            Record(k + 1, Path(f"synthetic-{k + 1}"), _SIDE, _SIDE, boxes[k], labels[k], crowd)
            for k in range(count)
        ]

    def __len__(self) -> int:
        return len(self.records)

    def coco_gt(self) -> Any:
        """Returns the objects as a ``pycocotools.coco.COCO``."""
        rows: list[dict[str, Any]] = []
        for record in self.records:
            for (left, top, right, bottom), label in zip(record.boxes.tolist(), record.classes.tolist()):
                box = [left, top, right - left, bottom - top]
                row = {"id": len(rows) + 1, "image_id": record.image_id, "bbox": box, "iscrowd": 0}
                rows.append({**row, "area": box[2] * box[3], "category_id": self.category_ids[label]})
        images = [{"id": record.image_id, "width": _SIDE, "height": _SIDE} for record in self.records]
        categories = [{"id": k, "name": name} for k, name in zip(self.category_ids, self.classes)]
        return make_truth({"images": images, "annotations": rows, "categories": categories})


class SyntheticLoader(EpochLoader):
    """Yields as many batches as another loader would, all with the same random images, objects and targets.

    Ids and sizes are those of the data set's records, whose files are not read. The images are standard
    normal, on ``target``'s device and in its layout and type, so that the network waits for nothing. For
    ``order`` see `EpochLoader`.
    """

    def __init__(
        self,
        dataset: Records,
        transform: EvalTransform,
        batch_size: int,
        *,
        target: Target = Target(),  # noqa: B008 - frozen
        encoder: Encoder | None = None,
        **order: Any,
    ) -> None:
        super().__init__(dataset.records, batch_size, **order)
        self.records = dataset.records
        classes = 1 + max([int(record.classes.max()) for record in self.records if len(record.classes)] + [0])
        # The encoder and the device work once here, not once per batch, so that only the network is measured.
        size = max(1, min(batch_size, self.samples))
        self._whole = _random_batch(transform.preprocess.size, size, classes, encoder, target, self.seed)
        self._encoder = encoder

    def __iter__(self) -> Iterator[Batch]:
        """Yields the batches of the chosen epoch."""
        order, first = self.order(self.epoch), self.start_batch
        self.wait_seconds = 0.0
        for start in range(first * self.batch_size, len(order), self.batch_size):
            records = [self.records[index] for index in order[start : start + self.batch_size]]
            ids = np.array([record.image_id for record in records], np.int64)
            sizes = np.array([(record.height, record.width) for record in records], np.int32)
            yield replace(self._rows(len(records)), image_ids=ids, sizes=sizes)

    def _rows(self, count: int) -> Batch:
        whole = self._whole
        if count == len(whole):
            return whole
        boxes, labels = whole.boxes[:count], whole.labels[:count]
        # Only the last batch of an epoch may be shorter. Its targets are encoded anew, because their layout
        # is known to the encoder alone.
        targets = encode_targets(self._encoder, boxes, labels, np.arange(count))
        return replace(whole, images=whole.images[:count], boxes=boxes, labels=labels, targets=targets)


def random_objects(rng: np.random.Generator, count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns boxes float32 (count, 7, 4) and labels int32 (count, 7).

    Boxes are ltrb fractions, with sides of 0.05 to 0.6.
    """
    sides = rng.uniform(0.05, 0.6, (count, OBJECTS, 2))
    start = rng.random((count, OBJECTS, 2)) * (1 - sides)
    boxes = np.concatenate([start, start + sides], axis=2).astype(np.float32)
    return boxes, rng.integers(classes, size=(count, OBJECTS)).astype(np.int32)


def _random_batch(
    size: tuple[int, int], count: int, classes: int, encoder: Encoder | None, target: Target, seed: int
) -> Batch:
    import mxnet as mx

    rng = np.random.default_rng([seed, count])
    shape = (count, 3, *size) if target.layout == "NCHW" else (count, *size, 3)
    images = rng.standard_normal(shape, dtype=np.float32)
    context = mx.gpu(target.device_id) if target.device == "gpu" else mx.cpu()
    boxes, labels = random_objects(rng, count, classes)
    none = np.zeros(count, np.int64)
    targets = encode_targets(encoder, boxes, labels, none)
    array = mx.nd.array(images, ctx=context, dtype=target.dtype)
    return Batch(array, boxes, labels, none, np.zeros((count, 2), np.int32), targets, target.layout)
