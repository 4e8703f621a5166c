"""Event files for TensorBoard: losses, scores, precision-recall curves, and pictures with boxes."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.images import read_image
from ...files import writing
from .base import Callback, RunInfo, TrainBatch
from .batch_picture import batch_picture

if TYPE_CHECKING:
    from ..coco_eval import Scores

FOLDER = "tensorboard"
# What is added is on the disk after so long, so that TensorBoard shows it.
FLUSH_SECONDS = 120.0


class TensorBoardLog(Callback):
    """Writes into ``tensorboard/`` of the run folder, for ``tensorboard --logdir runs``.

    The x axis is the optimizer step. A run that is resumed takes back what it had written of later steps.
    Raises UserError where the package that writes such files is not installed.
    """

    def __init__(self) -> None:
        # Before data are read, so that a missing package is told at once.
        from tensorboardX import SummaryWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._make, self._event, self._session = SummaryWriter, Event, SessionLog
        self._writer: Any = None

    def started(self, info: RunInfo) -> None:
        self._info, self._every = info, info.recipe.log_every
        self._open(info.run_dir / FOLDER)
        if info.resumed:
            event = self._event(session_log=self._session(status=self._session.START))
            self._writer.file_writer.add_event(event, info.progress.step + 1)
        self._writer.add_text("recipe", f"```\n{info.recipe.to_yaml()}```", 0)
        self._shown = _time_of(self._samples)
        self._first = not info.resumed

    def _open(self, folder: Path) -> None:
        """Begins a file in ``folder``, into which this thread writes.

        tensorboardX has a thread for that, with a queue. On a full disk the thread ends with a traceback, and
        who then adds to the full queue waits for ever.
        """
        self._folder, self._flushed = folder, time.monotonic()
        with writing(self._folder):
            self._writer = self._make(str(folder))
        self._writer.file_writer.event_writer.add_event = self._add

    def _add(self, event: Any) -> None:
        with writing(self._folder):
            self._writer.file_writer.event_writer._ev_writer.write_event(event)
        if time.monotonic() > self._flushed + FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        with writing(self._folder):
            self._writer.flush()
        self._flushed = time.monotonic()

    @property
    def _samples(self) -> Path:
        return self._info.run_dir / "val" / "samples.jpg"

    def batch_started(self, batch: TrainBatch) -> None:
        if self._first:
            self._first = False
            picture = batch_picture(batch.data, self._info.net)
            self._writer.add_image("train/batch", picture, batch.step, dataformats="HWC")

    def losses_read(self, batch: TrainBatch, losses: Mapping[str, float]) -> None:
        if batch.updates and batch.step % self._every == 0:
            self._scalars({f"train/{name}": value for name, value in losses.items()}, batch.step)
            self._scalars({"train/lr": batch.lr}, batch.step)

    def epoch_ended(self, epoch: int, values: Mapping[str, float]) -> None:
        means = {f"epoch/{name}": value for name, value in values.items() if name != "step"}
        self._scalars({**means, "epoch/number": epoch}, self._info.progress.step)
        self._show_samples()
        self._flush()

    def scored(self, epoch: int, scores: Scores) -> None:
        # With async_val the scores are of a step that has passed by now; this is the one of the evaluation.
        step = self._info.progress.evaluated
        known = {f"val/{name}": value for name, value in scores.stats.items() if value >= 0}
        known.update({f"class_AP/{_tag(row.name)}": row.ap for row in scores.classes if row.objects})
        self._scalars(known, step)
        if scores.curves is not None:
            self._curves("all_classes", scores.curves.together(), 0, step)
            for number, row in enumerate(scores.classes):
                if row.objects:
                    self._curves(_tag(row.name), scores.curves, number, step)

    def ended(self, reached: bool) -> None:
        self._show_samples()

    def close(self) -> None:
        if self._writer is None:
            return
        events = self._writer.file_writer.event_writer
        try:
            with writing(self._folder):
                self._writer.close()
        finally:
            # At its end Python would try it again, and print a traceback.
            events._closed = True

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def _curves(self, name: str, curves: Any, row: int, step: int) -> None:
        """Adds what every score threshold gives, as the counts that TensorBoard draws curves of."""
        right, found = curves.right[row], curves.found[row]
        # Where nothing is found, TensorBoard wants a precision all the same.
        precision = np.where(found, right / np.maximum(found, 1), 1.0)
        recall = right / max(int(curves.objects[row]), 1)
        counts = right, found - right, np.zeros_like(right), curves.objects[row] - right
        tag = f"precision_recall/{name}"
        self._writer.add_pr_curve_raw(tag, *counts, precision, recall, step, num_thresholds=len(right))

    def _show_samples(self) -> None:
        """Adds predictions beside the truth, which the best evaluation so far has drawn after its scores."""
        drawn = _time_of(self._samples)
        if drawn != self._shown:
            self._shown = drawn
            step = self._info.progress.step
            self._writer.add_image("val/predictions", read_image(self._samples), step, dataformats="HWC")


def _tag(name: str) -> str:
    """Returns the name of a class in the letters that TensorBoard's tags may have, those of any script."""
    return re.sub(r"[^\w.-]", "_", name)


def _time_of(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0
