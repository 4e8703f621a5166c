"""Precision, recall and F1 against confidence as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from .plots import BLUE, INK, MUTED, ORANGE, Canvas, PathLike, best_and_worst, short

# Of so many classes the best and as many of the worst are drawn beside all of them together.
_DRAWN = 3


def plot_confidence(scores: Any, png_path: PathLike) -> None:
    """Draws what each score threshold gives at IoU 0.50: all classes together, and F1 of some classes.

    ``scores``: of an evaluation, with their curves. The best threshold is marked.
    """
    known = [index for index, row in enumerate(scores.classes) if row.objects]
    with Canvas(png_path, 10.2, 4.4) as figure:
        whole, single = figure.subplots(1, 2, sharey=True)
        for axis, title in ((whole, "All classes"), (single, "F1 of classes")):
            axis.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="score threshold")
            axis.set_title(title)
        if not known:
            whole.text(0.5, 0.5, "no objects to find", transform=whole.transAxes, ha="center", color=MUTED)
            return
        _draw_whole(whole, scores)
        f1 = scores.curves.f1()[known]
        for index, colour, style in best_and_worst(f1.max(axis=1), _DRAWN):
            best = scores.classes[known[index]].best
            label = short(scores.classes[known[index]].name)
            label += f"  {best.f1:.3f} at {best.threshold:.2f}" if best else "  0"
            single.plot(_x(f1), f1[index], color=colour, lw=1.1, ls=style, label=label)
        single.legend(title="best F1", alignment="left", loc="upper left", bbox_to_anchor=(1.02, 1.0))


def _draw_whole(axis: Any, scores: Any) -> None:
    together = scores.curves.together()
    lines = (
        (together.precision(), "precision", BLUE),
        (together.recall(), "recall", ORANGE),
        (together.f1(), "F1", INK),
    )
    for values, label, colour in lines:
        axis.plot(_x(values), values[0], color=colour, label=label)
    if scores.best is not None:
        axis.axvline(scores.best.threshold, color=MUTED, lw=0.8, ls="--")
        axis.plot(scores.best.threshold, scores.best.f1, "o", color=INK, markersize=5)
        axis.set_title(f"All classes: best F1 {scores.best.f1:.3f} at {scores.best.threshold:.2f}")
    axis.legend(loc="lower left")


def _x(values: np.ndarray) -> np.ndarray:
    return np.arange(values.shape[1]) / values.shape[1]
