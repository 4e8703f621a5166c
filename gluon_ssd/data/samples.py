"""Loading one image at a time: its random numbers, and what happens when it cannot be read."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from typing import Callable, NamedTuple, Protocol

import numpy as np

from ..errors import UserError
from .preprocess import Preprocess
from .records import Record

MAX_BAD_SHARE = 0.01
_ADVICE = "gluon-ssd check DATA lists all such images"
# Last words of the seeds: the order of an epoch and the augmentation of an image share no random numbers.
_ORDER, _IMAGE = 1, 2


class Transform(Protocol):
    """What a loader needs of a transform (see ``transforms.EvalTransform``)."""

    preprocess: Preprocess

    def load(
        self, record: Record, rng: np.random.Generator, out: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]: ...


class Sample(NamedTuple):
    """One loaded image: its record, boxes float32 (n, 4) as ltrb fractions, and labels int32 (n,)."""

    record: Record
    boxes: np.ndarray
    labels: np.ndarray


def epoch_order(indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Returns ``indices`` in the random order of this epoch, which only ``seed`` and ``epoch`` decide."""
    order: np.ndarray = np.random.default_rng([seed, epoch, 0, _ORDER]).permutation(indices)
    return order


class SampleReader:
    """Loads images by their index. Any thread may call it.

    The random numbers of an image depend on (seed, epoch, index) alone. With ``skip_bad``, an image for which
    the transform raises UserError is replaced by the next of ``indices``, and ``on_skip`` is told once per
    image, from any thread. That goes on until more than ``max_bad_share`` of the images (and more than one)
    are bad. Any other exception is raised as a RuntimeError that names the file.
    """

    on_skip: Callable[[str], None]

    def __init__(
        self,
        records: Sequence[Record],
        indices: np.ndarray,
        transform: Transform,
        seed: int,
        skip_bad: bool,
        max_bad_share: float = MAX_BAD_SHARE,
    ) -> None:
        self._records, self._transform = records, transform
        self._indices = np.sort(indices)
        self._seed, self._skip_bad, self._max_bad_share = seed, skip_bad, max_bad_share
        self.on_skip = _warn
        self._bad: set[int] = set()
        self._lock = threading.Lock()

    def load(self, index: int, epoch: int, out: np.ndarray) -> Sample:
        """Writes image ``index`` into ``out``, float32 (3, h, w), and returns what belongs to it."""
        while True:
            try:
                return self._load_this(index, epoch, out)
            except UserError as error:
                if not self._skip_bad:
                    raise UserError(f"{error}; {_ADVICE}; --on-bad-image skip leaves out a few") from None
                self._count_bad(index, error)
            # The substitute is the next index in sorted order, so that it depends neither on the shuffling
            # nor on which thread finds the bad image first.
            after = int(np.searchsorted(self._indices, index, side="right"))
            index = int(self._indices[after % len(self._indices)])

    def _load_this(self, index: int, epoch: int, out: np.ndarray) -> Sample:
        record = self._records[index]
        # A generator of its own for each image makes the result independent of the number of threads.
        rng = np.random.default_rng([self._seed, epoch, index, _IMAGE])
        try:
            return Sample(record, *self._transform.load(record, rng, out))
        except UserError:
            raise
        except Exception as error:
            raise RuntimeError(f"{record.path}: {type(error).__name__} while loading: {error}") from error

    def _count_bad(self, index: int, error: UserError) -> None:
        with self._lock:
            if index in self._bad:
                return
            self._bad.add(index)
            bad, total = len(self._bad), len(self._indices)
        # Without the first condition `load` would go round for ever when no image at all can be read.
        if bad == total or bad > max(1.0, self._max_bad_share * total):
            raise UserError(
                f"{bad} of {total} images cannot be read, more than may be skipped "
                f"(max_bad_share {self._max_bad_share:g}); the last: {error}; {_ADVICE}"
            )
        self.on_skip(f"image skipped: {error}")


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)
