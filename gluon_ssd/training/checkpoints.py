"""The checkpoints that a training writes: the last state, the best, and those to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..runs import checkpoint_path
from ..tensor_files.archive import write_archive
from ..weights.checkpoint import save_checkpoint, snapshot
from .build import Training
from .callbacks import CallbackList
from .run_folder import stored_recipe


class Checkpoints:
    """Writes checkpoints of ``training`` into ``run_dir``; of several ranks, only rank 0 does.

    ``saved``: the optimizer step of the last checkpoint, None before the first.
    """

    def __init__(self, training: Training, run_dir: Path, callbacks: CallbackList) -> None:
        self._training, self._run_dir, self._callbacks = training, run_dir, callbacks
        self._recipe = stored_recipe(training.recipe, run_dir)
        self.saved = training.progress.step if training.inputs.resumed is not None else None

    def save(self, name: str, ranks: Mapping[str, np.ndarray] | None = None) -> None:
        """Writes the state as ``best`` or ``epoch_NNN``; ``ranks``: as in `Checkpoint`."""
        if self._training.world.first:
            save_checkpoint(checkpoint_path(self._run_dir, name), *self._state(ranks))

    def save_last(self) -> None:
        """Writes the last checkpoint. What a callback has raised ends the run now, and on no rank before."""
        self.save("last", self._of_ranks())
        self.saved = self._training.progress.step
        # No rank ends, and with it all others, while rank 0 still writes.
        self._training.world.barrier()
        self._callbacks.raise_held()

    def _of_ranks(self) -> dict[str, np.ndarray]:
        """Returns the running statistics of every rank but the first, which has its own. Collective.

        Between epochs they are the same, and there are none.
        """
        training = self._training
        if training.world.size == 1 or not training.progress.batch:
            return {}
        everywhere = enumerate(training.world.gather(training.statistics()))
        return {f"{rank}/{name}": array for rank, own in everywhere if rank for name, array in own.items()}

    def keep(self) -> Any:
        """Returns the state of now, for `save_best`; None on all ranks but the first."""
        if not self._training.world.first:
            return None
        return snapshot(checkpoint_path(self._run_dir, "best"), *self._state())

    def save_best(self, kept: Any, **progress: Any) -> None:
        """Writes what `keep` has returned, with what was not known of its ``progress`` then."""
        if kept is not None:
            arrays, state = kept
            state["progress"].update(progress)
            write_archive(checkpoint_path(self._run_dir, "best"), arrays, state)

    def _state(self, ranks: Mapping[str, np.ndarray] | None = None) -> tuple[Any, ...]:
        step, progress = self._training.step, self._training.progress
        # A scale that has found its value takes long to find it again.
        if step.scale is not None:
            progress.loss_scale = asdict(step.scale)
        average = self._training.average
        averages = None if average is None else average.arrays()
        return self._training.net, step.trainer, progress, self._recipe, averages, ranks
