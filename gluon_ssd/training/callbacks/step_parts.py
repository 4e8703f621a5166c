"""How the time of a training step divides into forward, backward and update."""

from __future__ import annotations

import time
from collections.abc import Mapping

import mxnet as mx

from .base import Callback, RunInfo, TrainBatch

PARTS = ("forward", "backward", "update")
# The first steps allocate memory and choose algorithms. Of those after them so many are measured at once, and
# then one in so many.
_FIRST, _AT_ONCE, _EVERY = 3, 5, 100


class StepParts(Callback):
    """Measures some steps by waiting for the device after each part, which costs these steps a little.

    ``seconds``: what was measured, by part. Where ranks meet inside a step, the update has their exchange.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._done, self._since = 0, 0.0

    def started(self, info: RunInfo) -> None:
        info.train_step.queued = self._queued

    def batch_started(self, batch: TrainBatch) -> None:
        self._done += 1
        number = self._done - _FIRST
        self._since = 0.0
        if 0 < number <= _AT_ONCE or (number > 0 and number % _EVERY == 0):
            mx.nd.waitall()
            self._since = time.perf_counter()

    def shares(self) -> Mapping[str, float]:
        """Returns the share of each part in the time of a step; nothing while no step was measured."""
        whole = sum(self.seconds.values())
        return {part: seconds / whole for part, seconds in self.seconds.items()} if whole else {}

    def _queued(self, part: str) -> None:
        if self._since:
            mx.nd.waitall()
            now = time.perf_counter()
            self.seconds[part] += now - self._since
            self._since = now
