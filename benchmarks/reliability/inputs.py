"""Readers under damaged files, and under files that were made to harm (`hostile`)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from readers import available
from results import REPOSITORY, Row

WORKER = REPOSITORY / "benchmarks" / "reliability" / "worker.py"
# A process reads so many files at most; another one begins with the sound files again.
PART = 20_000


@dataclass
class Part:
    """Some of the files of a reader: those from number ``first`` to ``last``, and what came of them."""

    name: str
    first: int
    last: int
    seed: int
    home: Path
    finds: Path
    lines: int = 0
    corpus: int = 0
    seconds: float = 0.0
    faults: dict[str, str] = field(default_factory=dict)

    def run(self) -> Part:
        """Reads the files in processes of their own, one after another where one does not survive."""
        began, first = time.monotonic(), self.first
        self.home.mkdir()
        while first < self.last:
            status, errors = self._process(first)
            if status == 0:
                break
            # Nothing is in the file until the first damaged one is read.
            if not (self.home / "now").is_file() or not (self.home / "now").stat().st_size:
                self.faults["does not start"] = errors
                break
            first = self._blame(status) + 1
        self.seconds = time.monotonic() - began
        return self

    def _process(self, first: int) -> tuple[int, str]:
        numbers = str(first), str(self.last), str(self.seed)
        command = [sys.executable, str(WORKER), self.name, *numbers, str(self.home / "files")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENCV_LOG_LEVEL": "SILENT"}
        with open(self.home / "stderr", "wb") as errors:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                self._hear(json.loads(line))
        return done.returncode, (self.home / "stderr").read_text(errors="replace")[-800:]

    def _hear(self, told: dict[str, Any]) -> None:
        self.lines = max(self.lines, told.get("lines", 0))
        self.corpus = max(self.corpus, told.get("corpus", 0))
        if "fault" in told:
            self._add(told["fault"], told["number"], Path(told["kept"]))

    def _blame(self, status: int) -> int:
        """Notes the file that the process has not survived, and returns its number."""
        now = json.loads((self.home / "now").read_text())
        slow = status in (-signal.SIGPROF, -signal.SIGALRM)
        what = "takes more than 10 s" if slow else f"ends the process with status {status}"
        self._add(what, now["number"], Path(now["file"]))
        (self.home / "now").unlink()
        return int(now["number"])

    def _add(self, fault: str, number: int, file: Path) -> None:
        self.finds.mkdir(parents=True, exist_ok=True)
        kept = self.finds / f"{self.name.split()[0].lstrip('.')}-{self.seed}-{number}{file.suffix}"
        shutil.copyfile(file, kept)
        # The same error at the same place is told once.
        self.faults.setdefault(fault.partition(": ")[0], f"{self.name}, file {number}: {fault} ({kept})")


def measure(
    count: int, seed: int, folder: Path, jobs: int = 1, case: str = "", finds: Path | None = None
) -> Iterator[Row]:
    """Gives each reader ``count`` damaged files, and yields a row for each.

    ``jobs`` processes read at a time. ``case``: only readers with that in their name. What leads to a fault
    is kept in ``finds``.
    """
    chosen = [name for name in available() if case in name]
    with ThreadPoolExecutor(jobs) as pool:
        running: dict[str, list[Future[Part]]] = {name: [] for name in chosen}
        for place, name in enumerate(chosen):
            for first in range(0, count, PART):
                home = folder / f"{place}-{first}"
                part = Part(name, first, min(count, first + PART), seed, home, finds or folder)
                running[name].append(pool.submit(part.run))
        for name, own in running.items():
            yield _row(name, count, [future.result() for future in own])


def _row(name: str, count: int, parts: Sequence[Part]) -> Row:
    faults = {kind: fault for part in parts for kind, fault in part.faults.items()}
    seconds = sum(part.seconds for part in parts)
    lines, corpus = max(part.lines for part in parts), sum(part.corpus for part in parts)
    note = f"{count / seconds:.0f} files a second; {lines} lines of the package, {corpus} files in the corpus"
    return Row("inputs", name, count, len(faults), note, seconds=round(seconds), faults=list(faults.values()))
