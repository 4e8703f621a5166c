"""The native loader: threads that read, transform, collate and encode; batches in a fixed order."""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Any, Callable, Iterator, Sequence

import cv2
import numpy as np

from gluon_ssd.data.batch import Batch, pad_objects
from gluon_ssd.data.records import Records
from gluon_ssd.data.samples import MAX_BAD_SHARE, Sample, SampleReader, Transform, epoch_order
from gluon_ssd.data.workers import Crew
from gluon_ssd.errors import UserError

Encoder = Callable[[np.ndarray, np.ndarray], Any]


class NativeLoader:
    """Batches of a data set, read and augmented by threads.

    The batches depend on the data set, ``seed``, epoch and ``shard``, never on ``workers`` or timing: each
    image's random numbers come from (seed, epoch, index of the image).

    dataset: has ``.records``. transform: writes one image, returns its boxes and labels.
    shuffle: a new order each epoch. workers: threads; 0 works in the caller's thread.
    drop_last: leave out the last short batch (and, over several ranks, what makes them unequal).
    skip_empty: leave out images without any annotation, as the published trainings do.
    encoder: ``encoder(boxes, labels)``, called once per batch in a worker; its result is ``Batch.targets``.
    prefetch: batches begun ahead of the consumer.
    indices: use only these records. shard: (rank, size), this process's share; no image is in two shards.
    on_bad_image: "fail" raises; "skip" takes the next image in its place and warns once per image, until more
    than ``max_bad_share`` of them (and more than one) are bad. Do not skip in evaluation.

    Raises UserError when nothing is left to load, or too little for a batch with ``drop_last``; without it a
    rank may have no batches. An error in a worker is raised at the batch it belongs to.
    OpenCV's own threads are switched off, for the whole process, as soon as there are workers.
    """

    def __init__(
        self,
        dataset: Records,
        transform: Transform,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        workers: int = 2,
        drop_last: bool = False,
        skip_empty: bool = False,
        encoder: Encoder | None = None,
        prefetch: int = 2,
        indices: Sequence[int] | None = None,
        shard: tuple[int, int] = (0, 1),
        on_bad_image: str = "fail",
        max_bad_share: float = MAX_BAD_SHARE,
    ) -> None:
        _check_settings(batch_size, seed, workers, prefetch, shard, on_bad_image)
        self.transform, self.batch_size, self.encoder = transform, batch_size, encoder
        self.shuffle, self.seed, self.drop_last, self.shard = shuffle, seed, drop_last, shard
        self.workers, self.prefetch = workers, prefetch
        self.epoch, self.start_batch = 0, 0
        self.wait_seconds = 0.0
        records = dataset.records
        chosen = range(len(records)) if indices is None else indices
        kept = [index for index in chosen if not skip_empty or len(records[index].boxes)]
        self._indices = np.array(kept, np.int64)
        self._refuse_nothing(len(chosen))
        skip = on_bad_image == "skip"
        self._reader = SampleReader(records, self._indices, transform, seed, skip, max_bad_share)
        self._crews: weakref.WeakSet[Crew] = weakref.WeakSet()

    def tell_skipped(self, listener: Callable[[str], None]) -> None:
        """Send the line about a skipped image to ``listener``, from any thread, instead of to `warnings`."""
        self._reader.on_skip = listener

    @property
    def samples(self) -> int:
        """Images this rank sees in an epoch."""
        rank, size = self.shard
        if not self.drop_last:
            return len(range(rank, len(self._indices), size))
        return len(self._indices) // size // self.batch_size * self.batch_size

    def __len__(self) -> int:
        """Batches of this rank in a whole epoch."""
        return -(-self.samples // self.batch_size)

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Choose the epoch of the next iterations and the batch they start at (to resume within an epoch)."""
        if not 0 <= start_batch <= len(self):
            raise ValueError(f"start_batch is {start_batch}, but an epoch has {len(self)} batches")
        self.epoch, self.start_batch = epoch, start_batch

    def order(self, epoch: int) -> np.ndarray:
        """Indices of the records this rank sees in an epoch, in order: int64 (samples,)."""
        indices = epoch_order(self._indices, self.seed, epoch) if self.shuffle else self._indices
        rank, size = self.shard
        return indices[rank::size][: self.samples]

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of the chosen epoch; ``wait_seconds`` counts the time spent waiting for them."""
        order, epoch, first = self.order(self.epoch), self.epoch, self.start_batch
        count = len(self) - first

        def make(number: int) -> _BatchJob:
            start = (first + number) * self.batch_size
            return _BatchJob(self._reader, order[start : start + self.batch_size], epoch, self)

        if self.workers:
            cv2.setNumThreads(1)
        crew = Crew(count, make, self.workers, self.prefetch)
        self._crews.add(crew)
        self.wait_seconds = 0.0
        try:
            for batch in crew.results():
                self.wait_seconds = crew.wait_seconds
                yield batch
        finally:
            crew.close()

    def close(self) -> None:
        """Stop and join all threads, also those of iterations that were abandoned."""
        for crew in list(self._crews):
            crew.close()

    def __enter__(self) -> NativeLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse_nothing(self, chosen: int) -> None:
        count, (_, size) = len(self._indices), self.shard
        if count == 0:
            why = f" with objects (all {chosen} are without)" if chosen else ""
            raise UserError(f"the data set has no images{why}; check the annotations")
        # In evaluation a rank may have nothing to do; in training all have equally much.
        if len(self) == 0 and self.drop_last:
            ranks = f" on each of {size} processes" if size > 1 else ""
            raise UserError(
                f"the data set has {count} images, too few for one batch of {self.batch_size}{ranks}; "
                "use a smaller batch size or more images"
            )


class _BatchJob:
    """One batch in the making: each slot is an image, written straight into the batch's memory."""

    def __init__(self, reader: SampleReader, indices: np.ndarray, epoch: int, loader: NativeLoader) -> None:
        self.slots = len(indices)
        self._reader, self._epoch, self._encoder = reader, epoch, loader.encoder
        self._indices = indices.tolist()
        self._images = np.empty((self.slots, 3, *loader.transform.preprocess.size), np.float32)
        self._samples: list[Sample | None] = [None] * self.slots

    def run(self, slot: int) -> None:
        self._samples[slot] = self._reader.load(self._indices[slot], self._epoch, self._images[slot])

    def finish(self) -> Batch:
        samples = [sample for sample in self._samples if sample is not None]
        boxes, labels = pad_objects([(sample.boxes, sample.labels) for sample in samples])
        ids = np.array([sample.record.image_id for sample in samples], np.int64)
        sizes = np.array([(sample.record.height, sample.record.width) for sample in samples], np.int32)
        targets = None
        if self._encoder is not None:
            try:
                targets = self._encoder(boxes, labels)
            except UserError:
                raise
            except Exception as error:
                raise RuntimeError(
                    f"images {ids.tolist()}: {type(error).__name__} while encoding: {error}"
                ) from error
        return Batch(self._images, boxes, labels, ids, sizes, targets)


def _check_settings(
    batch_size: int, seed: int, workers: int, prefetch: int, shard: tuple[int, int], on_bad_image: str
) -> None:
    for name, value, least in (("batch_size", batch_size, 1), ("seed", seed, 0), ("workers", workers, 0)):
        if value < least:
            raise UserError(f"{name} is {value}; it must be at least {least}")
    if prefetch < 1:
        raise UserError(f"prefetch is {prefetch}; it must be at least 1")
    if not 0 <= shard[0] < shard[1]:
        raise ValueError(f"shard is {shard}; the rank must be in 0 .. size - 1")
    if on_bad_image not in ("fail", "skip"):
        raise UserError(f"on_bad_image is '{on_bad_image}'; it must be 'fail' or 'skip'")
