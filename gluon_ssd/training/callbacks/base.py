"""Callbacks: objects that a training tells of each of its stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from ...data.batch import Batch
from ...errors import UserError
from ...recipe import Recipe
from ...weights.checkpoint import Progress
from ..schedule import StepSchedule

if TYPE_CHECKING:
    from ..coco_eval import Scores


@dataclass(frozen=True)
class RunInfo:
    """What is settled once a training is built, and its ``progress``, which changes as the training goes on.

    ``train_images``: those with objects, an epoch before what does not fill a batch is left out.
    ``resumed``: the run goes on from its own checkpoint. ``processes``: how many train together; ``rank``:
    which of them this is, from 0. ``bn_group``: processes that share norm statistics. ``batches``: how many
    an epoch has. ``train_step``: what trains the network on a batch; its ``trainer`` is Gluon's.
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
    batches: int = 0
    train_step: Any = None
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True)
class TrainBatch:
    """A batch of a training: ``number`` (from 0) of ``epoch`` (from 1), and its ``data``.

    ``step``: the optimizer step that it is part of, from 1, at rate ``lr``. ``updates``: the step is made
    with this batch; of several whose gradients are accumulated, it is the last.
    """

    epoch: int
    number: int
    step: int
    lr: float
    updates: bool
    data: Batch


class Callback:
    """Does nothing at every stage of a training; subclasses override the stages that they want.

    Epochs count from 1; mAP is from 0 to 1. Where several processes train together, the callbacks of each
    are called; ``started`` tells the rank, and one that writes files does so where it is 0.

    An exception ends the run and reaches the caller as it is. That of ``epoch_ended``, ``scored`` and
    ``evaluated`` does so once the checkpoint is written that contains this epoch or evaluation, so that
    nothing is lost.
    """

    def started(self, info: RunInfo) -> None:
        """Everything is built, no training image was read yet."""

    def epoch_started(self, epoch: int) -> None:
        """The first batch of ``epoch``, or of what is left of it, comes next."""

    def batch_started(self, batch: TrainBatch) -> None:
        """The network is trained on ``batch`` next."""

    def losses_read(self, batch: TrainBatch, losses: Mapping[str, float]) -> None:
        """The losses of ``batch`` have come from the device, which works on the batch after it by now."""

    def batch_ended(self, batch: TrainBatch, values: Mapping[str, float]) -> None:
        """Forward, backward and update of ``batch`` are queued; parameters that are read now contain them.

        ``values``: as of ``epoch_ended``, over the epoch so far. The losses of this batch are not in the
        means yet, so that nobody waits for the device; with an epoch's first batch there are no means.
        """

    def epoch_ended(self, epoch: int, values: Mapping[str, float]) -> None:
        """All of ``epoch``, or as much as was wanted, is trained.

        ``values``: the row of metrics.csv so far: step, lr, the mean of every loss, images_per_second,
        wait_share (of the time, for images) and seconds.
        """

    def evaluation_started(self, epoch: int) -> None:
        """The network as it is after ``epoch`` will be evaluated."""

    def scored(self, epoch: int, scores: Scores) -> None:
        """The evaluation after ``epoch`` has given ``scores``; with ``async_val``, later ones may have begun.

        ``scores.stats`` has COCO's twelve numbers by name, ``scores.classes`` the AP of each class. Calls
        ``evaluated``.
        """
        self.evaluated(epoch, scores.map)

    def evaluated(self, epoch: int, score: float) -> None:
        """The mAP after ``epoch`` is ``score``. `scored` calls this, for those who need no more."""

    def ended(self, reached: bool) -> None:
        """The run is over; ``reached``: because the target mAP was."""

    def close(self) -> None:
        """Nothing more will come, whether or not the run ended well. May be called twice."""


def _event(name: str, hold: bool = False) -> Callable[..., None]:
    """Returns a method that tells all callbacks of an event; ``hold``: what one raises is kept for later."""

    def tell(self: CallbackList, *values: Any) -> None:
        for callback in self.callbacks:
            try:
                getattr(callback, name)(*values)
            except Exception as error:
                if not hold:
                    raise
                self.held = self.held or error

    return tell


class CallbackList(Callback):
    """Tells several ``callbacks``, in their order. ``held``: the first exception that was held back."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self.callbacks = list(callbacks)
        self.held: Exception | None = None

    started = _event("started")
    epoch_started = _event("epoch_started")
    batch_started = _event("batch_started")
    losses_read = _event("losses_read")
    batch_ended = _event("batch_ended")
    evaluation_started = _event("evaluation_started")
    ended = _event("ended")
    # A checkpoint follows these two. It is written before an exception ends the run.
    epoch_ended = _event("epoch_ended", hold=True)
    scored = _event("scored", hold=True)
    _close = _event("close", hold=True)

    def close(self) -> None:
        """Closes all, also where one raises; then raises the first exception that was held back."""
        self._close()
        self.raise_held()

    def raise_held(self) -> None:
        """Raises the first exception that was held back, if there is one."""
        error, self.held = self.held, None
        if error is not None:
            raise error


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
