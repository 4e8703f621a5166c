"""A trace of some steps of a training, for chrome://tracing or Perfetto."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import mxnet as mx

from ...errors import UserError
from .base import Callback, RunInfo, TrainBatch

FILE = "profile.json"


class StepProfiler(Callback):
    """Records what MXNet does in optimizer steps ``steps``, first and last; None: nothing.

    Only rank 0 records. Raises UserError for what is no range.
    """

    def __init__(self, steps: Sequence[int] | None) -> None:
        if steps is not None and (len(steps) != 2 or steps[0] > steps[1]):
            raise UserError(f"profile is {list(steps)}; give the first and the last step, such as 20 25")
        self._steps, self._running = steps, False

    def started(self, info: RunInfo) -> None:
        self._path = info.run_dir / FILE
        if info.rank:
            self._steps = None

    def batch_started(self, batch: TrainBatch) -> None:
        if self._steps and not self._running and self._steps[0] <= batch.step <= self._steps[1]:
            # What was queued before is no part of these steps.
            mx.nd.waitall()
            mx.profiler.set_config(profile_all=True, filename=str(self._path))
            mx.profiler.set_state("run")
            self._running = True

    def batch_ended(self, batch: TrainBatch, values: Mapping[str, float]) -> None:
        if self._steps and batch.updates and batch.step >= self._steps[1]:
            self.close()

    def close(self) -> None:
        """Writes what was recorded, if anything was."""
        if self._running:
            mx.nd.waitall()
            mx.profiler.set_state("stop")
            mx.profiler.dump()
            self._running, self._steps = False, None
