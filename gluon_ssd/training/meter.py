"""What callbacks are told of an epoch: the means of its losses, its speed and its waits."""

from __future__ import annotations

import time
from collections.abc import Mapping

from .build import Training


class EpochMeter:
    """Measures the epoch that is trained. The sums of its losses are in the progress, for a checkpoint."""

    def __init__(self, training: Training) -> None:
        self._training = training

    def start(self) -> None:
        """Starts with the batch that comes next."""
        self._began, self._batches = time.perf_counter(), 0

    def add(self, losses: Mapping[str, float]) -> None:
        """Adds the losses of a batch that is done."""
        self._batches += 1
        sums = self._training.progress.sums
        for name, value in {**losses, "batches": 1}.items():
            sums[name] = sums.get(name, 0) + value

    def values(self, lr: float) -> dict[str, float]:
        """Returns a row of metrics.csv, without the mAP. Before the first batch is done it has no losses."""
        training, sums = self._training, self._training.progress.sums
        names = training.step.loss_names
        seconds = time.perf_counter() - self._began
        images = self._batches * training.recipe.batch_size * training.world.size
        return {
            "step": training.progress.step,
            "lr": lr,
            **{name: sums[name] / sums["batches"] for name in names if name in sums},
            "images_per_second": images / seconds,
            "wait_share": training.loader.wait_seconds / seconds,
            "seconds": seconds,
        }
