"""A training whose loss is not finite ends, and leaves the batch that shows why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import UserError
from ...files import atomic_write
from .base import Callback, RunInfo, TrainBatch


class LossWatch(Callback):
    """Ends the training at a loss that is not finite; the batch is then in ``nonfinite_batch.npz``."""

    def started(self, info: RunInfo) -> None:
        suffix = f"_rank{info.rank}" if info.rank else ""
        self._path = info.run_dir / f"nonfinite_batch{suffix}.npz"

    def losses_read(self, batch: TrainBatch, losses: Mapping[str, float]) -> None:
        if all(map(math.isfinite, losses.values())):
            return
        # The step has been made with this loss: the batch is all that is left to look at.
        data = batch.data
        names = ("boxes", "labels", "image_ids", "sizes")
        arrays: dict[str, Any] = {name: getattr(data, name) for name in names}
        arrays.update(losses, lr=batch.lr, images=data.pictures())
        with atomic_write(self._path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)
        parts = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        ids = ", ".join(map(str, data.image_ids))
        raise UserError(
            f"the loss is not finite in epoch {batch.epoch}, batch {batch.number}: "
            f"{parts}; lr {batch.lr:g}; "
            f"images {ids}; the batch is in {self._path}; try a lower lr or a longer warm-up"
        )
