"""Callbacks: objects that a training tells of each of its stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..recipe import Recipe
from .schedule import StepSchedule


@dataclass(frozen=True)
class RunInfo:
    """What is settled once a training is built.

    ``train_images``: those with objects, an epoch before what does not fill a batch is left out.
    ``resumed``: the run goes on from its own checkpoint. ``processes``: how many train together; ``rank``:
    which of them this is, from 0. ``bn_group``: processes that share norm statistics.
    """

    recipe: Recipe
    run_dir: Path
    net: Any
    schedule: StepSchedule
    train_images: int
    val_images: int
    resumed: bool = False
    processes: int = 1
    rank: int = 0
    bn_group: int = 1


class Callback:
    """Does nothing at every stage of a training; subclasses override the stages that they want.

    Epochs count from 1; mAP is from 0 to 1. Where several processes train together, the callbacks of each
    are called; ``started`` tells the rank, and one that writes files does so where it is 0.

    An exception ends the run and reaches the caller as it is. That of ``epoch_ended`` and ``evaluated`` does
    so once the checkpoint is written that contains this epoch or evaluation, so that nothing is lost.
    """

    def started(self, info: RunInfo) -> None:
        """Everything is built, no training image was read yet."""

    def epoch_started(self, epoch: int) -> None:
        """The first batch of ``epoch``, or of what is left of it, comes next."""

    def epoch_ended(self, epoch: int, values: Mapping[str, float]) -> None:
        """All of ``epoch``, or as much as was wanted, is trained.

        ``values``: the row of metrics.csv so far: step, lr, the mean of every loss, images_per_second,
        wait_share (of the time, for images) and seconds.
        """

    def evaluation_started(self, epoch: int) -> None:
        """The network as it is after ``epoch`` will be evaluated."""

    def evaluated(self, epoch: int, score: float) -> None:
        """``score`` is the mAP after ``epoch``; with ``async_val``, later epochs may have begun."""

    def ended(self, reached: bool) -> None:
        """The run is over; ``reached``: because the target mAP was."""

    def close(self) -> None:
        """Nothing more will come, whether or not the run ended well. May be called twice."""


class CallbackList(Callback):
    """Several callbacks as one, told in their order."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self._callbacks = tuple(callbacks)
        self._held: Exception | None = None

    def started(self, info: RunInfo) -> None:
        self._tell("started", info)

    def epoch_started(self, epoch: int) -> None:
        self._tell("epoch_started", epoch)

    def epoch_ended(self, epoch: int, values: Mapping[str, float]) -> None:
        self._tell_all("epoch_ended", epoch, values)

    def evaluation_started(self, epoch: int) -> None:
        self._tell("evaluation_started", epoch)

    def evaluated(self, epoch: int, score: float) -> None:
        self._tell_all("evaluated", epoch, score)

    def ended(self, reached: bool) -> None:
        self._tell("ended", reached)

    def close(self) -> None:
        self._tell_all("close")
        self.raise_held()

    def raise_held(self) -> None:
        """Raises the first exception that was held back, if there is one."""
        error, self._held = self._held, None
        if error is not None:
            raise error

    def _tell(self, event: str, *values: Any) -> None:
        for callback in self._callbacks:
            getattr(callback, event)(*values)

    def _tell_all(self, event: str, *values: Any) -> None:
        """Holds back what one raises, so that the others are told and the checkpoint is written."""
        for callback in self._callbacks:
            try:
                getattr(callback, event)(*values)
            except Exception as error:
                self._held = self._held or error


def check_callbacks(callbacks: Any) -> list[Callback]:
    """Returns ``callbacks`` as a list. Raises UserError unless they are a list of `Callback` objects."""
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        raise UserError(f"callbacks must be a list, got {_named(callbacks)}; write callbacks=[...]")
    given = list(callbacks)
    for callback in given:
        if not isinstance(callback, Callback):
            raise UserError(f"callbacks must be instances of gluon_ssd.Callback, got {_named(callback)}")
    return given


def _named(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
