"""A trace of some steps of a training, for chrome://tracing or Perfetto, and their ranges for Nsight."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mxnet as mx

from ...errors import UserError
from ...files import as_utf8, atomic_write, beside, writing
from ...locks import held
from .base import Callback, RunInfo, TrainBatch

FILE = "profile.json"
# The files that MXNet's profiler has written in this process: it can write one.
_WRITTEN: list[Path] = []


class StepProfiler(Callback):
    """Records what MXNet does in optimizer steps ``steps``, first and last; None: nothing.

    Rank 0 writes a trace. On a GPU, where the module nvtx is installed, every batch of these steps is also an
    NVTX range of its rank, from its start to that of the next: what it queues for the device runs that long.
    Raises UserError for what is no range, and where this process has written a trace before.
    """

    def __init__(self, steps: Sequence[int] | None) -> None:
        if steps is not None and (len(steps) != 2 or steps[0] > steps[1]):
            raise UserError(f"profile is {list(steps)}; give the first and the last step, such as 20 25")
        if steps is not None and _WRITTEN:
            raise UserError(
                f"profile: MXNet traces once in a process, and this one has written {_WRITTEN[0]}; "
                "start another process"
            )
        self._steps, self._running, self._marked = steps, False, False
        self._holding = contextlib.ExitStack()

    def started(self, info: RunInfo) -> None:
        self._path = None if info.rank else info.run_dir / FILE
        self._nvtx = _nvtx(info.net) if self._steps else None

    def batch_started(self, batch: TrainBatch) -> None:
        if not self._steps or not self._steps[0] <= batch.step <= self._steps[1]:
            return
        if not self._running:
            self._start()
        self._end_range()
        if self._nvtx is not None:
            self._nvtx.push_range(f"step {batch.step}")
            self._marked = True

    def batch_ended(self, batch: TrainBatch, values: Mapping[str, float]) -> None:
        if self._steps and batch.updates and batch.step >= self._steps[1]:
            self.close()

    def close(self) -> None:
        """Writes what was recorded, if anything was."""
        if not self._running:
            return
        self._running, self._steps = False, None
        mx.nd.waitall()
        self._end_range()
        if self._path is not None:
            self._write(self._path)

    def _start(self) -> None:
        # What was queued before is no part of these steps.
        mx.nd.waitall()
        if self._path is not None:
            as_utf8(self._path, "MXNet")
            _WRITTEN.append(self._path)
            self._trace = beside(self._path, "tmp")
            mx.profiler.set_config(profile_all=True, filename=str(self._trace))
            with writing(self._path):
                # Afterwards, because MXNet deletes what is there.
                self._holding.enter_context(held(self._trace))
            self._holding.callback(self._trace.unlink, missing_ok=True)
            mx.profiler.set_state("run")
        self._running = True

    def _write(self, path: Path) -> None:
        mx.profiler.set_state("stop")
        with self._holding, atomic_write(path, durable=False) as temporary:
            mx.profiler.dump()
            # MXNet writes every second, and does not tell of what it could not write.
            try:
                json.loads(self._trace.read_bytes())
            except ValueError:
                raise OSError("MXNet has written only a part of the trace") from None
            os.replace(self._trace, temporary)

    def _end_range(self) -> None:
        if self._nvtx is not None and self._marked:
            self._nvtx.pop_range()
        self._marked = False


def _nvtx(net: Any) -> Any:
    """Returns the module nvtx where ``net`` is on a GPU and it is installed, else None."""
    device = next(iter(net.collect_params().values())).list_ctx()[0]
    if device.device_type != "gpu" or importlib.util.find_spec("nvtx") is None:
        return None
    return importlib.import_module("nvtx")
