"""Watching the loss: a training that has gone wrong stops and leaves what shows why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import atomic_write


@dataclass
class _Pending:
    batch: Any
    losses: Sequence[Any]
    lr: float
    epoch: int
    number: int


class LossWatch:
    """Reads losses one batch late, so that nobody waits for the device; stops at a non-finite one."""

    def __init__(self, folder: Path, names: Sequence[str], rank: int = 0) -> None:
        """``names``: of the losses of a batch. A batch that fails is written into ``folder``."""
        self._folder, self._names, self._rank = folder, tuple(names), rank
        self._pending: _Pending | None = None

    def next(self, batch: Any, losses: Sequence[Any], lr: float, epoch: int, number: int) -> dict[str, float]:
        """Takes the losses of a batch; returns those of the batch before by name (nothing for the first).

        Raises UserError when they are not finite; the batch is then in ``nonfinite_batch.npz``.
        """
        values = self.last()
        self._pending = _Pending(batch, losses, lr, epoch, number)
        return values

    def last(self) -> dict[str, float]:
        """The losses of the batch that was taken last and not yet returned, by name."""
        pending, self._pending = self._pending, None
        if pending is None:
            return {}
        values = {name: float(loss.asscalar()) for name, loss in zip(self._names, pending.losses)}
        if not all(math.isfinite(value) for value in values.values()):
            raise self._failure(pending, values)
        return values

    def _failure(self, pending: _Pending, values: dict[str, float]) -> UserError:
        suffix = f"_rank{self._rank}" if self._rank else ""
        path = self._folder / f"nonfinite_batch{suffix}.npz"
        batch = pending.batch
        names = ("boxes", "labels", "image_ids", "sizes")
        arrays: dict[str, Any] = {name: getattr(batch, name) for name in names}
        arrays.update(values, lr=pending.lr, images=batch.pictures())
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)
        parts = ", ".join(f"{name} {value:g}" for name, value in values.items())
        ids = ", ".join(str(image_id) for image_id in batch.image_ids)
        return UserError(
            f"the loss is not finite in epoch {pending.epoch}, batch {pending.number}: "
            f"{parts}; lr {pending.lr:g}; "
            f"images {ids}; the batch is in {path}; try a lower lr or a longer warm-up"
        )
