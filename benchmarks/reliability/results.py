"""What the harnesses found, one row for each case, and the page that is made from the rows."""

from __future__ import annotations

import csv
import datetime
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "reliability.csv"
PAGE = REPOSITORY / "docs" / "reliability.md"

TITLES = {
    "kills": (
        "Killed at any moment",
        "A command is killed at a random moment. A training is resumed until it ends, and then its "
        "checkpoints (parameters, optimizer, progress), metrics and detections equal, bit for bit, those of "
        "the training that was left alone; no temporary file, lock or process stays. Of every other command "
        "either all of its output is there or what was there before, and the same command then runs to its "
        "end.",
    ),
    "disk": (
        "A disk that is full, read-only or takes no more files",
        "Each command runs on disks of random sizes, on one that takes few more files, and on one that is "
        "read-only. It has room enough, or ends with status 2 and one line and leaves what was there before. "
        "*A write fails*: the kernel is made to fail one kind of file operation of the command (opening to "
        "write, writing, fsync, renaming, making a folder or a link, also in MXNet's and FFmpeg's own code) "
        "on one kind of file (names that differ in numbers alone are one), at its first, its last and one "
        "in the middle, with a disk that is full from then on and with an I/O error that comes once. *A file "
        "goes while it is read*: where the command opens, reads or maps one of its files, that is deleted, "
        "cut to half, or has an I/O error, at the same places. The last column tells how many of all these "
        "places were tried. "
        "The command ends with status 2 and one line, or goes on without harm; every file that shows is "
        "whole, and a training is resumed.",
    ),
    "inputs": (
        "Damaged and hostile files",
        "Each reader is given files that were changed at random, in a process that has 10 seconds for a file "
        "and may take four times its size and 96 MB, or for pictures 8 bytes for each of "
        "[89 million pixels](datasets.md#how-large-a-picture-may-be). It reads them or raises `UserError`, "
        "nothing else, and runs nothing that a file holds. A file that leads to new lines of the package, or "
        "is refused at a new place, becomes the beginning of others. In two minutes of one core this reached "
        "512 lines from COCO's JSON and 255 from PyTorch's pickle; atheris 3.0, which counts branches but "
        "knows no words of these formats, reached 500 and 234, so that it is not used. *Files made to harm* "
        "are bombs, deep nests, links, pipes, and names of images and classes that lead out of a folder, "
        "command a terminal or are markup.",
    ),
    "numbers": (
        "Extreme numbers",
        "The losses stay finite, or the training ends with one line that says what to do.",
    ),
    "concurrency": (
        "Two processes in one place",
        "Both do the same at the same moment. One is refused with one line, or both end well and what is "
        "there is whole.",
    ),
    "supply": (
        "What an installation brings",
        "Every package that gluon_ssd and its usual extras need, as installed where this was run, with its "
        "licence; those that may not be of any later version, with the test that tells why; the digests by "
        "which downloads are checked; and what the wheel holds. *Known faults* are those in a copy of "
        "[PyPA's advisory database](https://github.com/pypa/advisory-database), which ends with the day in "
        "the note. `pip install pip-audit && pip-audit` asks the database of today.",
    ),
    "determinism": (
        "The same bits again",
        "The same seed gives the same checkpoints, metrics and detections, bit for bit, and the same command "
        "the same files. Where the bits are known to be others, the note says why.",
    ),
    "ranks": (
        "Several ranks, of which one is lost",
        "Two or three processes train together over gloo, and one is killed or stopped, the network between "
        "two is cut, or a clock is wrong. All go on, or the others end with one line within the time that "
        "[Several processes](distributed.md#a-process-ends) states: a minute, and 300 s for a rank that does "
        "not join. No process stays, and what is resumed ends as the training that was left alone, bit for "
        "bit.",
    ),
    "cycles": (
        "Started and stopped over and over",
        "Every command is interrupted at a random moment. It leaves no process, no used port, no shared "
        "memory or semaphore and no temporary file.",
    ),
    "long": (
        "Left alone for long",
        "A training (with an evaluation and several checkpoints in every epoch), the prediction of a video "
        "and a server under requests go on side by side, and all that their processes take is "
        "counted again and again; memory is what they have allocated, without the files that they map. "
        "It is flat where the slope of the samples of the second half stays below 12 MB of memory, 2 MB "
        "of shared memory, and 4 open files, threads and temporary files an hour. The numbers in brackets "
        "are these slopes. `--minutes 180` does the same for three hours each.\n\n"
        "![what the three take over time](images/long-runs.png)",
    ),
}


@dataclass
class Row:
    """One case of a harness: how often it was tried and how often it went wrong.

    ``note`` says what else was counted; ``faults`` describes each failure and is printed, not stored.
    """

    harness: str
    case: str
    tried: int
    failed: int
    note: str = ""
    seed: int = 0
    seconds: int = 0
    command: str = ""
    date: str = ""
    machine: str = ""
    faults: list[str] = field(default_factory=list, compare=False)


COLUMNS = tuple(item.name for item in fields(Row) if item.name != "faults")


def machine() -> str:
    """Returns the processor, its cores and the Python, as the page names them."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def append(row: Row, table: Path) -> None:
    """Adds a row to a table of results, with the date and the machine where it has none."""
    row.date, row.machine = row.date or datetime.date.today().isoformat(), row.machine or machine()
    new = not table.exists()
    with open(table, "a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        writer.writerow([getattr(row, name) for name in COLUMNS])


def read(table: Path) -> list[Row]:
    """Returns every row of a table of results, the oldest first."""
    if not table.exists():
        return []
    with open(table, newline="", encoding="utf-8") as stream:
        numbers = ("tried", "failed", "seed", "seconds")
        return [
            Row(**{name: int(text) if name in numbers else text for name, text in row.items()})
            for row in csv.DictReader(stream)
        ]


def page(rows: Sequence[Row]) -> str:
    """Returns the page that ``rows`` make, Markdown."""
    parts = ["# Reliability, measured\n", _INTRODUCTION, *_summary(rows)]
    for name, (title, text) in TITLES.items():
        chosen = [row for row in rows if row.harness == name]
        if chosen:
            parts += [f"## {title}\n", f"{text}\n", *_table(chosen)]
    return "\n".join(parts)


_INTRODUCTION = """This page is made by `python benchmarks/reliability/run.py` from
`benchmarks/results/reliability.csv`, which has a row for every case that was run, good or bad. The same
command with another `--count` and `--seed` adds more. The last run of a case is that of the code as it is; a
line below the table says what became of a failure.
"""


def _summary(rows: Sequence[Row]) -> list[str]:
    """Returns the table at the top: a line for each harness, with what fails in the code as it is."""
    lines = ["| what | cases | tried in all | cases that fail today |", "|---|---|---|---|"]
    for name, (title, _) in TITLES.items():
        last = {row.case: row.failed for row in rows if row.harness == name}
        tried = sum(row.tried for row in rows if row.harness == name)
        failing = "; ".join(case for case, failed in last.items() if failed) or "none"
        link = f"[{title}](#{re.sub('[^a-z -]', '', title.lower()).replace(' ', '-')})"
        lines += [f"| {link} | {len(last)} | {tried:,} | {failing} |"] if last else []
    return [*lines, ""]


def _table(rows: Sequence[Row]) -> list[str]:
    cases = list(dict.fromkeys(row.case for row in rows))
    lines = ["| case | tried in all | runs (tried, failed, seed) | the last run |", "|---|---|---|---|"]
    for case in cases:
        own = [row for row in rows if row.case == case]
        runs = "; ".join(f"{row.tried}, {row.failed}, {row.seed}" for row in own)
        lines.append(f"| {case} | {sum(row.tried for row in own)} | {runs} | {own[-1].note} |")
    commands = dict.fromkeys((row.command, row.date, row.machine) for row in rows)
    lines.append("")
    last = {row.case: row.failed for row in rows}
    lines += [
        f"- failed, {row.case}, seed {row.seed}: {row.note}" + "; not in the last run" * (not last[row.case])
        for row in rows
        if row.failed
    ]
    lines += [f"- `{command}`, {date}, {where}" for command, date, where in commands]
    return [*lines, ""]


def write_page() -> None:
    """Writes the page from the results."""
    PAGE.write_text(page(read(RESULTS)), encoding="utf-8")
