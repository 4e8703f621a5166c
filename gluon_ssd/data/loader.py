"""The native loader: threads read, transform, collate and encode; batches come in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

import cv2
import numpy as np

from ..errors import UserError
from .batch import Batch, pad_objects
from .epochs import Encoder, EpochLoader, encode_targets
from .records import Records
from .samples import MAX_BAD_SHARE, Sample, SampleReader, Transform
from .workers import WorkerPool


class NativeLoader(EpochLoader):
    """Batches of a data set, read and augmented by threads.

    The batches depend on the data set, ``seed``, epoch and ``shard``, never on ``workers`` or timing: the
    random numbers of each image come from (seed, epoch, index of the image).

    ``dataset`` has ``.records``. ``transform`` writes one image and returns its boxes and labels. ``workers``
    is the number of threads; with 0 the caller's thread does the work. ``prefetch`` is the number of batches
    that are begun ahead of the consumer. ``encoder(boxes, labels)`` is called once per batch in a worker, and
    its result is ``Batch.targets``. ``order`` says which images make which batch (``shuffle``, ``seed``,
    ``shard`` and so on), see `EpochLoader`. ``on_bad_image`` is "fail", which raises, or "skip", which takes
    the next image in its place and warns once per image, until more than ``max_bad_share`` of them (and more
    than one) are bad. Do not skip in evaluation.

    Raises UserError when nothing is left to load, or too little for a batch with ``drop_last``; without it a
    rank may have no batches. An error in a worker is raised at the batch that it belongs to. OpenCV's own
    threads are switched off, for the whole process, as soon as there are workers.
    """

    def __init__(
        self,
        dataset: Records,
        transform: Transform,
        batch_size: int,
        *,
        workers: int = 2,
        encoder: Encoder | None = None,
        prefetch: int = 2,
        on_bad_image: str = "fail",
        max_bad_share: float = MAX_BAD_SHARE,
        **order: Any,
    ) -> None:
        super().__init__(dataset.records, batch_size, **order)
        _check_settings(workers, prefetch, on_bad_image)
        self.transform, self.encoder = transform, encoder
        self.workers, self.prefetch = workers, prefetch
        skip = on_bad_image == "skip"
        self._reader = SampleReader(dataset.records, self._indices, transform, self.seed, skip, max_bad_share)

    def tell_skipped(self, listener: Callable[[str], None]) -> None:
        self._reader.on_skip = listener

    def __iter__(self) -> Iterator[Batch]:
        """Yields the batches of the chosen epoch; ``wait_seconds`` counts the time spent waiting for them."""
        order, epoch, first = self.order(self.epoch), self.epoch, self.start_batch
        count = len(self) - first

        def make(number: int) -> _BatchJob:
            start = (first + number) * self.batch_size
            return _BatchJob(self._reader, order[start : start + self.batch_size], epoch, self)

        # Our threads already keep every core busy; OpenCV's threads below each of them would only compete.
        if self.workers:
            cv2.setNumThreads(1)
        return self._work(WorkerPool(count, make, self.workers, self.prefetch))


class _BatchJob:
    """One batch in the making.

    Each slot is an image, written straight into the batch's memory without a copy.
    """

    def __init__(self, reader: SampleReader, indices: np.ndarray, epoch: int, loader: NativeLoader) -> None:
        self.slots = len(indices)
        self._reader, self._epoch, self._encoder = reader, epoch, loader.encoder
        self._indices = indices.tolist()
        self._images = np.empty((self.slots, 3, *loader.transform.preprocess.size), np.float32)
        self._samples: list[Sample | None] = [None] * self.slots

    def run(self, slot: int) -> None:
        self._samples[slot] = self._reader.load(self._indices[slot], self._epoch, self._images[slot])

    def finish(self) -> Batch:
        # Every slot has run by now, so nothing is left out here; the filter only tells the type checker so.
        samples = [sample for sample in self._samples if sample is not None]
        boxes, labels = pad_objects([(sample.boxes, sample.labels) for sample in samples])
        ids = np.array([sample.record.image_id for sample in samples], np.int64)
        sizes = np.array([(sample.record.height, sample.record.width) for sample in samples], np.int32)
        targets = encode_targets(self._encoder, boxes, labels, ids)
        return Batch(self._images, boxes, labels, ids, sizes, targets)


def _check_settings(workers: int, prefetch: int, on_bad_image: str) -> None:
    for name, value, least in (("workers", workers, 0), ("prefetch", prefetch, 1)):
        if value < least:
            raise UserError(f"{name} is {value}; it must be at least {least}")
    if on_bad_image not in ("fail", "skip"):
        raise UserError(f"on_bad_image is '{on_bad_image}'; it must be 'fail' or 'skip'")
