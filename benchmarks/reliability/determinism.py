"""The same seed gives the same bits, with any number of loader threads, resumed or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kills import FLAGS, differences
from processes import call
from results import Row

from gluon_ssd.data.shapes import make_shapes


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Trains with one seed in different ways, and yields a row for each."""
    data = make_shapes(folder / "data", train=24, val=4, size=(96, 128))
    whole = folder / "whole"
    _train(data, whole, f"--seed {seed} --workers 1")
    for name, flags in {"2 loader threads": "--workers 2", "4 loader threads": "--workers 4"}.items():
        run = folder / name.replace(" ", "_")
        _train(data, run, f"--seed {seed} {flags}")
        faults = [f"{name}: {text}" for text in differences(run, whole)]
        yield Row("determinism", f"{name}, against 1", 1, len(faults), faults=faults)
    run = folder / "resumed"
    _train(data, run, f"--seed {seed} --workers 1 --max-steps 7")
    _train(data, run, "--resume --workers 4 --max-steps none")
    faults = [f"resumed: {text}" for text in differences(run, whole)]
    yield Row("determinism", "resumed after 7 steps with 4 threads, against 1", 1, len(faults), faults=faults)


def _train(data: Path, run: Path, flags: str) -> None:
    status, text = call(f"{' '.join(FLAGS)} --data {data} --output {run} {flags}")
    if status:
        raise RuntimeError(text[-2000:])
