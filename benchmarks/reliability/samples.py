"""The samples of the long runs, benchmarks/results/long_runs.csv, and the picture that is drawn from them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields

from results import REPOSITORY
from usage import Usage

SAMPLES = REPOSITORY / "benchmarks" / "results" / "long_runs.csv"
PLOT = REPOSITORY / "docs" / "images" / "long-runs.png"
SHOWN = {
    "memory": "memory, MB",
    "shared": "shared memory, MB",
    "descriptors": "open files",
    "threads": "threads",
}
COLUMNS = ("case", *(field.name for field in fields(Usage)))


def store(case: str, samples: Sequence[Usage]) -> None:
    """Puts the samples of a case in the place of its earlier ones, and draws all cases."""
    kept = [row for row in read() if row["case"] != case]
    rows = [*kept, *({"case": case, **asdict(sample)} for sample in samples)]
    with open(SAMPLES, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draw()


def read() -> list[dict[str, str]]:
    """Returns the samples of every case as they are in the file."""
    if not SAMPLES.exists():
        return []
    with open(SAMPLES, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def draw() -> None:
    """Draws what each case took over time, a panel for each thing that is counted."""
    from matplotlib.figure import Figure

    rows = read()
    figure = Figure(figsize=(9, 6), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(2, 2).flat, SHOWN.items()):
        for case in dict.fromkeys(row["case"] for row in rows):
            own = [row for row in rows if row["case"] == case]
            minutes = [float(row["seconds"]) / 60 for row in own]
            axes.plot(minutes, [float(row[name]) for row in own], linewidth=1, label=case)
        axes.set(title=title, xlabel="minutes", ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    figure.savefig(PLOT, dpi=100)
