"""The plot of a benchmark: images per second of every setting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .plots import BLUE, INK, Canvas


def plot_speeds(path: Path, labels: Sequence[str], rates: Sequence[float]) -> None:
    """Draws a bar for each setting, the first on top, with its images per second, as PNG."""
    # The name of a file may hold bytes that are no text, which no font has.
    names = [label.encode("utf-8", "replace").decode("utf-8") for label in labels]
    with Canvas(path, 8, 1.2 + 0.32 * len(labels)) as figure:
        axes = figure.add_subplot()
        bars = axes.barh(range(len(labels)), rates, color=BLUE)
        axes.bar_label(bars, fmt="%.1f", padding=3, color=INK)
        axes.set_yticks(range(len(labels)), names)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("images per second through the network and its post-processing")
