"""The values of an epoch: measured while it is trained, and written into metrics.csv and its curves."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...files import atomic_write
from ...report.plots import plot_metrics
from .base import Callback, RunInfo

if TYPE_CHECKING:
    from ..build import Training
    from ..coco_eval import Scores

# The columns before and after those of the losses.
_FIRST, _LAST = ("epoch", "step", "lr"), ("images_per_second", "wait_share", "seconds", "map", "ap50")


def read_rows(path: Path) -> list[dict[str, float | None]]:
    """Returns the rows of a metrics file as numbers, None for an empty cell. No file has no rows."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: _number(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> float | None:
    if not text:
        return None
    return int(text) if text.isdecimal() else float(text)


class EpochMeter:
    """Measures what is left of an epoch, from now on, and adds up its losses.

    The sums of the losses are in the training's progress, so that a checkpoint within the epoch has them.
    """

    def __init__(self, training: Training) -> None:
        # Of an epoch that is resumed, the sums have the batches before, and the speed has not.
        self._training, self._began, self._batches = training, time.perf_counter(), 0

    def add(self, losses: Mapping[str, float]) -> None:
        """Adds the losses of a batch that is done."""
        self._batches += 1
        sums = self._training.progress.sums
        for name, value in {**losses, "batches": 1}.items():
            sums[name] = sums.get(name, 0) + value

    def values(self, lr: float) -> dict[str, float]:
        """Returns a row of metrics.csv without mAP; it has no losses while no batch is done."""
        training, sums = self._training, self._training.progress.sums
        seconds = time.perf_counter() - self._began
        images = self._batches * training.recipe.batch_size * training.world.size
        return {
            "step": training.progress.step,
            "lr": lr,
            **{name: sums[name] / sums["batches"] for name in training.step.loss_names if name in sums},
            "images_per_second": images / seconds,
            "wait_share": training.loader.wait_seconds / seconds,
            "seconds": seconds,
        }


class MetricsFile:
    """The rows of a run. A row of an epoch that is there already is replaced, as happens after a resume."""

    def __init__(self, path: Path, losses: Sequence[str], last_epoch: int = 0) -> None:
        """Keeps the rows of ``path`` up to ``last_epoch``; those beyond the checkpoint go.

        ``losses``: names of the losses, each a column.
        """
        self.path, self.columns = path, (*_FIRST, *losses, *_LAST)
        self._rows: dict[int, dict[str, str]] = {}
        if path.is_file():
            with open(path, newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    if (row.get("epoch") or "").isdecimal() and int(row["epoch"]) <= last_epoch:
                        self._rows[int(row["epoch"])] = {name: row.get(name) or "" for name in self.columns}

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Adds ``values`` to the row of ``epoch`` and writes the file. Raises UserError when it cannot."""
        row = self._rows.setdefault(epoch, dict.fromkeys(self.columns, ""))
        row["epoch"] = str(epoch)
        # A step is written with all of its digits, however many they are.
        row.update({k: str(v) if isinstance(v, int) else f"{v:.6g}" for k, v in values.items()})
        with atomic_write(self.path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(self._rows[number] for number in sorted(self._rows))


class MetricsLog(Callback):
    """Writes metrics.csv after every epoch and evaluation, and draws its curves after every evaluation."""

    def started(self, info: RunInfo) -> None:
        losses = info.train_step.loss_names
        self._file = MetricsFile(info.run_dir / "metrics.csv", losses, info.progress.epoch - 1)

    def epoch_ended(self, epoch: int, values: Mapping[str, float]) -> None:
        self._file.write(epoch, values)

    def scored(self, epoch: int, scores: Scores) -> None:
        self._file.write(epoch, {"map": scores.map, "ap50": scores.stats["ap50"]})
        plot_metrics(self._file.path, self._file.path.with_suffix(".png"))
