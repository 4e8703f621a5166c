"""The summary that DeepLearningExamples writes: a line of JSON for each event, in the format of DLLogger."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ...errors import UserError
from ...files import as_path, writing
from ...recipe import Recipe
from .base import Callback, RunInfo, TrainBatch


class JsonSummary(Callback):
    """Writes parameters, losses, times and scores into ``path``; a resumed run adds to what is there.

    Each line is ``DLLL`` and an object with timestamp, datetime, elapsedtime (seconds), type, step and data.
    ``step`` is PARAMETER, or a list of the epoch and iteration that the data belong to, both from 0 as in
    DeepLearningExamples; it is empty for the whole run. Raises UserError where the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._path = as_path(path)
        if not self._path.parent.is_dir():
            raise UserError(
                f"json_summary {self._path}: there is no folder {self._path.parent}; "
                "make it, or set json_summary to none"
            )
        self._best: dict[str, float] = {}

    def started(self, info: RunInfo) -> None:
        self._began, self._every = time.perf_counter(), info.recipe.log_every
        self._write("PARAMETER", parameters(info.recipe), "a" if info.resumed else "w")

    def losses_read(self, batch: TrainBatch, losses: Mapping[str, float]) -> None:
        iteration = batch.step - 1
        if batch.updates and iteration % self._every == 0:
            self._write([batch.epoch - 1, iteration], {"loss": losses["loss"]})

    def epoch_ended(self, epoch: int, values: Mapping[str, float]) -> None:
        self._write([epoch - 1], {"time": values["seconds"]})

    def evaluated(self, epoch: int, score: float) -> None:
        self._best = {"mAP": score}
        self._write([epoch - 1], self._best)

    def ended(self, reached: bool) -> None:
        self._write([], {"total time": time.perf_counter() - self._began})
        self._write([], self._best)

    def _write(self, step: str | Sequence[int], data: Mapping[str, Any], mode: str = "a") -> None:
        now = datetime.now()
        line = {
            "timestamp": str(now.timestamp()),
            "datetime": str(now),
            "elapsedtime": str(time.perf_counter() - self._began),
            "type": "LOG",
            "step": step,
            "data": data,
        }
        with writing(self._path), open(self._path, mode, encoding="utf-8") as file:
            file.write(f"DLLL {json.dumps(line)}\n")


def parameters(recipe: Recipe) -> dict[str, Any]:
    """Returns what DeepLearningExamples tells of a training, under its names; epochs count from 0 there."""
    evaluated = [epoch - 1 for epoch in range(1, recipe.epochs + 1) if recipe.evaluates_after(epoch)]
    return {
        "dataset path": recipe.data,
        "epochs": recipe.epochs,
        "batch size": recipe.batch_size,
        "eval batch size": recipe.eval_batch_size,
        "no cuda": recipe.device == "cpu",
        "seed": recipe.seed,
        "checkpoint path": recipe.weights,
        "mode": "training",
        "eval on epochs": evaluated,
        "lr decay epochs": list(recipe.decay_epochs),
        "learning rate": recipe.lr,
        "momentum": recipe.momentum,
        "weight decay": recipe.weight_decay,
        "lr warmup": recipe.warmup_steps,
        "backbone": recipe.model,
        "backbone path": recipe.pretrained_backbone,
        "num workers": recipe.workers,
        "AMP": recipe.precision == "amp",
        "precision": recipe.precision,
    }
