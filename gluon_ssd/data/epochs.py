"""Which images make which batch of an epoch: the same for every loader."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Callable, TypeVar

import numpy as np

from ..errors import UserError
from .batch import Batch
from .records import Record
from .samples import epoch_order
from .workers import WorkerPool

Encoder = Callable[[np.ndarray, np.ndarray], Any]
_Self = TypeVar("_Self", bound="EpochLoader")


class EpochLoader:
    """Orders the images, shares them out over ranks, and ends the threads; a subclass makes the batches.

    ``records`` are those of the data set. ``skip_empty`` leaves out records without any annotation;
    ``indices`` leaves out all records but these. ``shuffle`` makes a new order each epoch, from ``seed``.
    ``shard`` is (rank, size): the share of this process; no image is in two shards. ``drop_last`` leaves out
    the last batch if it is short and, over several ranks, the images that would make the ranks unequal.

    Raises UserError when nothing is left to load, or too little for a batch with ``drop_last``; without it a
    rank may have no batches.
    """

    def __init__(
        self,
        records: Sequence[Record],
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        skip_empty: bool = False,
        indices: Sequence[int] | None = None,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        for name, value, least in (("batch_size", batch_size, 1), ("seed", seed, 0)):
            if value < least:
                raise UserError(f"{name} is {value}; it must be at least {least}")
        if not 0 <= shard[0] < shard[1]:
            raise ValueError(f"shard is {shard}; the rank must be in 0 .. size - 1")
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.drop_last, self.shard = drop_last, shard
        self.epoch, self.start_batch = 0, 0
        self.wait_seconds = 0.0
        chosen = range(len(records)) if indices is None else indices
        kept = [index for index in chosen if not skip_empty or len(records[index].boxes)]
        self._indices = np.array(kept, np.int64)
        # Weak, so that an iteration that was given up and forgotten can be collected together with its
        # threads.
        self._pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()
        self._refuse_nothing(len(chosen))

    @property
    def samples(self) -> int:
        """The number of images that this rank sees in an epoch."""
        rank, size = self.shard
        if not self.drop_last:
            return len(range(rank, len(self._indices), size))
        # Every rank gets equally many whole batches: a rank with one more would wait for the others for ever.
        return len(self._indices) // size // self.batch_size * self.batch_size

    def __len__(self) -> int:
        """Returns the number of batches of this rank in a whole epoch."""
        return -(-self.samples // self.batch_size)

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Chooses the epoch of the next iterations and, to resume within it, the batch to start at."""
        if not 0 <= start_batch <= len(self):
            raise ValueError(f"start_batch is {start_batch}, but an epoch has {len(self)} batches")
        self.epoch, self.start_batch = epoch, start_batch

    def order(self, epoch: int) -> np.ndarray:
        """Returns the indices of the records that this rank sees in an epoch, in order: int64 (samples,)."""
        indices = epoch_order(self._indices, self.seed, epoch) if self.shuffle else self._indices
        rank, size = self.shard
        return indices[rank::size][: self.samples]

    def __iter__(self) -> Iterator[Batch]:
        """Yields the batches of the chosen epoch; ``wait_seconds`` counts the time spent waiting for them."""
        raise NotImplementedError

    def tell_skipped(self, listener: Callable[[str], None]) -> None:
        """Sends the line about a skipped image to ``listener``, from any thread, instead of to `warnings`.

        Only the native loader skips images.
        """
        return

    def _work(self, pool: WorkerPool) -> Iterator[Any]:
        """Yields the results of a worker pool, and closes it when the iteration ends."""
        self._pools.add(pool)
        self.wait_seconds = 0.0
        try:
            for result in pool.results():
                self.wait_seconds = pool.wait_seconds
                yield result
        finally:
            # This runs as well when the consumer leaves its loop early and the generator is collected.
            pool.close()

    def close(self) -> None:
        """Stops and joins all threads, including those of iterations that were abandoned."""
        for pool in list(self._pools):
            pool.close()

    def __enter__(self: _Self) -> _Self:
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
        # In evaluation a rank may have nothing to do; in training all have the same number of batches.
        if len(self) == 0 and self.drop_last:
            ranks = f" on each of {size} processes" if size > 1 else ""
            raise UserError(
                f"the data set has {count} images, too few for one batch of {self.batch_size}{ranks}; "
                "use a smaller batch size or more images"
            )


def encode_targets(encoder: Encoder | None, boxes: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> Any:
    """Returns what ``encoder`` makes of a batch, None without one.

    When it fails, the error names the images.
    """
    if encoder is None:
        return None
    try:
        return encoder(boxes, labels)
    except UserError:
        raise
    except Exception as error:
        raise RuntimeError(
            f"images {ids.tolist()}: {type(error).__name__} while encoding: {error}"
        ) from error
