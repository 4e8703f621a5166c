"""A trace of some steps of a training, for chrome://tracing or Perfetto."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mxnet as mx

from ..errors import UserError

FILE = "profile.json"


class StepProfiler:
    """Records what MXNet does in optimizer steps ``steps``, first and last; None: nothing.

    It writes into ``folder``, which is set before the first step. `before` and `after` are called around the
    batches of a step. Raises UserError for what is no range.
    """

    folder: Path

    def __init__(self, steps: Sequence[int] | None, first_rank: bool = True) -> None:
        if steps is not None and (len(steps) != 2 or steps[0] > steps[1]):
            raise UserError(f"profile is {list(steps)}; give the first and the last step, such as 20 25")
        self._steps = steps if first_rank else None
        self._running = False

    def before(self, step: int) -> None:
        """A batch of ``step``, from 1, is about to be trained on."""
        if self._steps and not self._running and self._steps[0] <= step <= self._steps[1]:
            mx.nd.waitall()
            mx.profiler.set_config(profile_all=True, filename=str(self.folder / FILE))
            mx.profiler.set_state("run")
            self._running = True

    def after(self, step: int) -> None:
        """All batches of ``step`` are queued."""
        if self._steps and step >= self._steps[1]:
            self.close()

    def close(self) -> None:
        """Writes what was recorded, if anything was."""
        if self._running:
            mx.nd.waitall()
            mx.profiler.set_state("stop")
            mx.profiler.dump()
            self._running, self._steps = False, None
