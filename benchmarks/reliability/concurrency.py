"""Two processes that do the same in one place at the same moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from processes import PATIENCE, start, trained
from results import Row
from verbs import visible

# The command, and how many of two may be refused with one line.
CASES: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "train into one run folder": (
        "train --recipe ssd_tiny/smoke --max-steps 2 --batch-size 2 --data {data} --output {out}/run",
        (1,),
    ),
    "train into the next free run folder": (
        "train --recipe ssd_tiny/smoke --max-steps 2 --batch-size 2 --data {data}",
        (0,),
    ),
    "val into one folder": ("val {run} --output {out}/val", (0,)),
    "export to one file": ("export {run} --format onnx --output {out}/m.onnx", (0,)),
    "export of two files to one place": ("export {run} --format symbol --output {out}/m", (0,)),
    "convert-data into one folder": ("convert-data {data} {out}/set --to yolo --images copy", (0, 1)),
    "prepare-records into one folder": ("prepare-records {data} {out}/set --shards 2", (0, 1)),
    "predict into one folder": ("predict {data}/val --weights {run} --output {out}/found", (0, 1)),
}


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Runs each of `CASES` its share of ``count`` times, twice at a time, and yields one row."""
    data, run = trained(folder)
    faults, tried = [], 0
    for place, (name, (command, refusals)) in enumerate(CASES.items()):
        for turn in range(max(1, count // len(CASES))):
            home = folder / f"case{place}-{turn}"
            tried += 1
            words = ["-m", "gluon_ssd", *command.format(data=data, run=run, out=home / "out").split()]
            faults += [f"{name}: {fault}" for fault in _both(words, home, refusals)]
    yield Row("concurrency", ", ".join(CASES), tried, len(faults), "each with two processes", faults=faults)


def _both(words: list[object], home: Path, refusals: tuple[int, ...]) -> Iterator[str]:
    """Starts a command twice; yields what is wrong with how they end and what they leave."""
    (home / "out").mkdir(parents=True)
    running = [start(words, home / f"{number}.log") for number in range(2)]
    for each in running:
        if not each.wait(PATIENCE):
            yield "does not end"
    texts, statuses = [each.text() for each in running], [each.process.returncode for each in running]
    refused = [text for text, status in zip(texts, statuses) if status == 2]
    errors = ["\n".join(line for line in text.splitlines() if line.startswith("error: ")) for text in refused]
    if set(statuses) - {0, 2} or len(refused) not in refusals or not all(errors):
        yield f"statuses {statuses}: {' | '.join(text[-800:] for text in texts)}"
    if any("\n" in error for error in errors):
        yield f"more than one line of error: {errors}"
    hidden = [str(path) for path in home.rglob(".*")]
    if hidden:
        yield f"left behind: {hidden}"
    if not visible(home / "out") and not (home / "runs").is_dir():
        yield "nothing was written"
