"""Readers under damaged files, and under files that were made to harm (`hostile`)."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from readers import READERS
from results import REPOSITORY, Row

WORKER = REPOSITORY / "benchmarks" / "reliability" / "worker.py"
# Finds stay here, for whoever repairs what they show.
KEPT = Path("/tmp/reliability-finds")


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Gives each reader ``count`` damaged files, and yields a row for each."""
    for place, name in enumerate(READERS):
        home = folder / f"reader{place}"
        home.mkdir()
        yield _row(name, count, seed, home)


def _row(name: str, count: int, seed: int, home: Path) -> Row:
    faults, lines, first, corpus = [], 0, 0, 0
    while first < count:
        command = [sys.executable, str(WORKER), name, str(first), str(count), str(seed), str(home / "files")]
        with open(home / "stderr", "wb") as errors:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        for line in done.stdout.splitlines():
            told = json.loads(line) if line.startswith("{") else {}
            lines, corpus = max(lines, told.get("lines", 0)), max(corpus, told.get("corpus", 0))
            if "fault" in told:
                faults.append(
                    f"{name}, file {told['number']}: {told['fault']} ({_keep(name, Path(told['kept']))})"
                )
        if done.returncode == 0:
            break
        # The process did not survive a file; the next one goes on behind it.
        if not (home / "now").is_file():
            return Row("inputs", name, 0, 1, faults=[(home / "stderr").read_text()[-800:]])
        now = json.loads((home / "now").read_text())
        hang = done.returncode == -signal.SIGPROF
        what = "more than 10 s" if hang else f"the process ended with status {done.returncode}"
        faults.append(f"{name}, file {now['number']}: {what} ({_keep(name, Path(now['file']))})")
        first = now["number"] + 1
        (home / "now").unlink()
    note = f"{lines} lines of the package reached, {corpus} files in the corpus"
    return Row("inputs", name, count, len(faults), note, faults=faults)


def _keep(name: str, path: Path) -> Path:
    KEPT.mkdir(exist_ok=True)
    kept = KEPT / f"{name.split()[0]}-{path.name}"
    shutil.copyfile(path, kept)
    return kept
