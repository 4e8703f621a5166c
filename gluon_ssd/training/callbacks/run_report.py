"""run.json, which says what trained when and where the time went, and report.html, which shows all of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from ...environment import provenance
from ...files import atomic_write
from ...report.run_files import read_run
from ...report.run_page import write_report
from ...runs import RUN_FILE
from .base import Callback, RunInfo
from .step_parts import StepParts


class RunReport(Callback):
    """Keeps the record of this process among those of the run, and writes the page after every epoch.

    The record is what `provenance` returns and ``seconds`` by part: waiting (for images), forward, backward
    and update as ``parts`` has measured them (training, while it has not), evaluation and the rest.
    """

    def __init__(self, parts: StepParts) -> None:
        self._parts = parts

    def started(self, info: RunInfo) -> None:
        self._run_dir = info.run_dir
        # A run that is resumed has those of the processes before.
        self._before = read_run(info.run_dir).sessions if info.resumed else []
        self._seconds = dict.fromkeys(("waiting", "training", "evaluation"), 0.0)
        self._session: dict[str, Any] = {**provenance(), "processes": info.processes}
        self._began, self._evaluation = time.perf_counter(), 0.0
        # A run that is complete already stays as it is.
        self._trains = False

    def epoch_started(self, epoch: int) -> None:
        self._end_evaluation()
        if not self._trains:
            self._trains = True
            self._write()

    def epoch_ended(self, epoch: int, values: Mapping[str, float]) -> None:
        waited = values["wait_share"] * values["seconds"]
        self._seconds["waiting"] += waited
        self._seconds["training"] += values["seconds"] - waited
        self._write()

    def evaluation_started(self, epoch: int) -> None:
        self._evaluation = time.perf_counter()

    def ended(self, reached: bool) -> None:
        self._end_evaluation()
        if self._trains:
            self._write()

    def _end_evaluation(self) -> None:
        """Adds the time since an evaluation began. Its pictures are part of it, which follow its scores."""
        if self._evaluation:
            self._seconds["evaluation"] += time.perf_counter() - self._evaluation
            self._evaluation = 0.0

    def _write(self) -> None:
        spent = time.perf_counter() - self._began
        values = {**self._seconds, "rest": max(0.0, spent - sum(self._seconds.values()))}
        shares = self._parts.shares()
        if shares:
            training = values.pop("training")
            values.update((part, share * training) for part, share in shares.items())
        seconds = {part: round(value, 3) for part, value in values.items()}
        content = {"sessions": [*self._before, {**self._session, "seconds": seconds}]}
        with atomic_write(self._run_dir / RUN_FILE) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        write_report(self._run_dir)
