"""Which rank keeps the others waiting."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from statistics import median

import mxnet as mx

from ...console import Console
from ..distributed import World
from .base import Callback, RunInfo, TrainBatch

# A rank this much slower than the middle one of the others, and by so many seconds, is named, after so many
# measured steps.
SLOW, SECONDS, STEPS = 1.3, 0.005, 3


class StragglerReport(Callback):
    """Measures now and then how long a step of this rank takes before it meets the others. Collective.

    All ranks end a step at the same time, so its whole length does not tell who was late. To measure is to
    wait for the device twice, which costs a little of that step. Where ranks meet inside the network, in
    norms over groups, only the wait for images is a rank's own.
    """

    def __init__(self, world: World, console: Console) -> None:
        self._world, self._console = world, console
        self._began: float | None = None
        self._own = 0.0

    def started(self, info: RunInfo) -> None:
        self._every, self._meets_inside = info.recipe.log_every, info.bn_group > 1
        info.train_step.before_exchange = self.gradients_queued

    def epoch_started(self, epoch: int) -> None:
        self._times: list[float] = []
        self._batches, self._named = 0, False

    def batch_started(self, batch: TrainBatch) -> None:
        self._batches += 1
        if self._measures(batch) and not self._meets_inside:
            mx.nd.waitall()
            self._began = time.perf_counter()

    def gradients_queued(self) -> None:
        """Stops the clock when the device has done this rank's own part of a step. `TrainStep` calls it."""
        if self._began is not None:
            mx.nd.waitall()
            self._own, self._began = time.perf_counter() - self._began, None

    def batch_ended(self, batch: TrainBatch, values: Mapping[str, float]) -> None:
        if self._measures(batch):
            # The time for this batch's images is over before it starts; the epoch's mean stands for it.
            waited = values["wait_share"] * values["seconds"] / self._batches
            self._times.append(self._own + waited)
            self._report(STEPS)

    def epoch_ended(self, epoch: int, values: Mapping[str, float]) -> None:
        self._report(1)

    def _measures(self, batch: TrainBatch) -> bool:
        return batch.updates and batch.step % self._every == 0

    def _report(self, steps: int) -> None:
        """Names a slow rank, once an epoch, as soon as so many steps were measured."""
        if len(self._times) < steps or self._named:
            return
        mean = sum(self._times) / len(self._times)
        line = straggler(*zip(*self._world.gather((mean, socket.gethostname()))))
        if line is not None:
            self._named = True
            self._console.say(line)


def straggler(times: Sequence[float], hosts: Sequence[str]) -> str | None:
    """Returns a line about the slowest rank, by each one's seconds per step; None when they are alike."""
    slowest = max(range(len(times)), key=times.__getitem__)
    others = median([value for rank, value in enumerate(times) if rank != slowest])
    if times[slowest] <= max(SLOW * others, others + SECONDS):
        return None
    return (
        f"rank {slowest} on {hosts[slowest]} is slow: {times[slowest]:.3f} s of its own per step, "
        f"the others {others:.3f} s"
    )
