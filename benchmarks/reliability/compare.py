"""What a training that was killed has otherwise than the one that was left alone."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from gluon_ssd.tensor_files.archive import read_archive

TIMES = {"images_per_second", "wait_share", "seconds"}


def damaged(run: Path) -> Iterator[str]:
    """Yields what is wrong with the files that a killed training shows under their names."""
    for path in sorted(run.rglob("*")) if run.is_dir() else ():
        try:
            if path.suffix == ".ckpt" and not path.name.startswith("."):
                read_archive(path)
            if path.suffix == ".json" and not path.name.startswith("."):
                json.loads(path.read_text())
        except Exception as error:
            yield f"{path}: {error}"


def differences(run: Path, whole: Path) -> Iterator[str]:
    """Yields what a run has otherwise than the one that was left alone."""
    names, others = (sorted(str(p.relative_to(f)) for p in f.rglob("*")) for f in (run, whole))
    if names != others:
        yield f"other files: {sorted(set(names) ^ set(others))}"
        return
    for path in sorted((whole / "checkpoints").iterdir()):
        (arrays, state), (other, other_state) = (
            read_archive(path),
            read_archive(run / "checkpoints" / path.name),
        )
        wrong = [name for name in arrays if arrays[name].tobytes() != other[name].tobytes()]
        if sorted(arrays) != sorted(other) or wrong or state["progress"] != other_state["progress"]:
            yield f"{path.name}: {len(wrong)} of {len(arrays)} arrays differ"
    if _metrics(run) != _metrics(whole):
        yield "metrics.csv differs"
    for name in ("detections.json", "per_class.csv"):
        if (run / "val" / name).read_bytes() != (whole / "val" / name).read_bytes():
            yield f"val/{name} differs"


def _metrics(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", newline="") as file:
        return [{key: text for key, text in row.items() if key not in TIMES} for row in csv.DictReader(file)]
