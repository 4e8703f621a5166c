"""Training curves, precision-recall curves and confusion matrices as PNG files, drawn without a display."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Union

import numpy as np

from ..errors import UserError
from ..files import atomic_write

PathLike = Union[str, Path]
INK, MUTED, _GRID = "#222222", "#666666", "#e4e4e4"
BLUE, ORANGE, GREEN, _PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
_STYLE = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "savefig.dpi": 120,
    # Names of classes are text, never formulas.
    "text.parse_math": False,
}


class Canvas:
    """A figure in this library's style, which is saved when its block ends.

    It does not use pyplot, so that the backend and the figures of the caller are left alone.
    """

    def __init__(self, path: PathLike, width: float, height: float) -> None:
        import matplotlib
        from matplotlib.figure import Figure

        self.path = Path(path)
        self.style = matplotlib.rc_context(_STYLE)
        self.style.__enter__()
        self.figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")

    def __enter__(self) -> Any:
        return self.figure

    def __exit__(self, kind: type | None, value: BaseException | None, trace: Any) -> None:
        try:
            if kind is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # Readers of a run folder may look at any time: they see the old picture or the new one.
                with atomic_write(self.path) as temporary:
                    self._draw(temporary)
        finally:
            self.style.__exit__(kind, value, trace)

    def _draw(self, path: Path) -> None:
        with warnings.catch_warnings():
            # Class names in scripts that the font lacks are drawn as boxes.
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
            self.figure.savefig(path, format="png")


def read_metrics(path: PathLike) -> dict[str, np.ndarray]:
    """Returns the columns of a metrics.csv as float64 arrays of one length.

    A cell that is empty or not a number is NaN. Where a resumed run wrote an epoch twice, the later row
    counts. Raises UserError for a file that cannot be read.
    """
    try:
        with open(path, newline="", encoding="utf-8", errors="replace") as file:
            # A crash of the machine may leave NULs, which old versions of csv refuse.
            reader = csv.DictReader(line.replace("\0", "") for line in file)
            names = [name for name in reader.fieldnames or [] if name]
            rows = list(reader)
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    columns = {name: np.array([_number(row.get(name)) for row in rows], np.float64) for name in names}
    key = columns.get("epoch")
    if key is None:
        return columns
    # An epoch may have several rows, one for every so many steps; then the step tells the rows apart.
    if len(set(key)) < len(key) and "step" in columns:
        key = columns["step"]
    last = {float(k): index for index, k in enumerate(key) if np.isfinite(k)}
    keep = [last[k] for k in sorted(last)]
    return {name: values[keep] for name, values in columns.items()}


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return float("nan")


def plot_metrics(csv_path: PathLike, png_path: PathLike) -> None:
    """Draws losses, mAP and AP50, learning rate and images per second over the epochs of a metrics.csv.

    Columns may be missing or partly empty; a file without rows gives a picture that says so. Raises UserError
    if the file cannot be read.
    """
    data = read_metrics(csv_path)
    count = len(next(iter(data.values()), ()))
    x, label = data.get("epoch", np.arange(1.0, count + 1)), "epoch" if "epoch" in data else "row"
    if len(set(x)) < len(x) and "step" in data:
        x, label = data["step"], "step"
    with Canvas(png_path, 9.0, 5.6) as figure:
        axes = figure.subplots(2, 2, sharex=True)
        parts = [name for name in data if name.endswith("_loss")]
        colours = cycle((BLUE, ORANGE, GREEN, _PINK))
        labels = [name[: -len("_loss")].replace("cls", "class") for name in parts]
        _curves(axes[0, 0], x, data, "Loss", [("loss", "total", INK), *zip(parts, labels, colours)])
        _curves(axes[0, 1], x, data, "Validation", [("map", "mAP", GREEN), ("ap50", "AP50", _PINK)])
        _curves(axes[1, 0], x, data, "Learning rate", [("lr", "", BLUE)])
        _curves(axes[1, 1], x, data, "Images per second", [("images_per_second", "", BLUE)])
        axes[0, 1].set_ylim(0, 1)
        axes[1, 0].yaxis.set_major_formatter("{x:.3g}")
        for axis in axes[1]:
            axis.set_xlabel(label)


def _curves(
    axis: Any, x: np.ndarray, data: dict[str, np.ndarray], title: str, lines: list[tuple[str, str, str]]
) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_title(title)
    shown: list[np.ndarray] = []
    for column, label, colour in lines:
        y = data.get(column, np.full(len(x), np.nan))
        known = np.isfinite(y) & np.isfinite(x)
        if known.any():
            marker = "o" if known.sum() <= 30 else ""
            name = f"{label}  {y[known][-1]:.3g}".strip()
            axis.plot(x[known], y[known], color=colour, marker=marker, markersize=3.5, label=name)
            shown.append(y[known])
    if not shown:
        axis.text(0.5, 0.5, "nothing recorded yet", transform=axis.transAxes, ha="center", color=MUTED)
        axis.set_yticks([])
        if not len(x):
            axis.set_xticks([])
        return
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    # A single epoch is a point, around which matplotlib would choose fractions of an epoch.
    if np.ptp(x[np.isfinite(x)]) < 1:
        axis.set_xlim(np.nanmin(x) - 0.6, np.nanmin(x) + 0.6)
    values = np.concatenate(shown)
    # The first steps of a training may have losses that leave the rest of a linear curve flat.
    if values.min() > 0 and values.max() > 50 * np.median(values):
        axis.set_yscale("log")
    elif values.min() >= 0:
        axis.set_ylim(0, values.max() * 1.08 or 1)
    # The legend gives each curve's last value; on the title's line it can hide no curve.
    axis.legend(
        ncols=len(lines), loc="lower right", bbox_to_anchor=(1.02, 0.97), handlelength=1.2, columnspacing=1.2
    )


def plot_pr_curves(
    coco_eval: Any, classes: Sequence[str] | None, png_path: PathLike, extremes: int = 3
) -> None:
    """Draws precision over recall: the mean of all classes at IoU 0.5 and 0.75, and some classes at 0.5.

    `coco_eval` is a pycocotools COCOeval after `accumulate()`; objects of all sizes and its largest number of
    detections are used. `classes` are the names to include, None for all; classes without objects in the
    evaluated images are left out. The `extremes` best and worst classes are drawn.
    """
    recall = np.asarray(coco_eval.params.recThrs)
    names, half, strict = precisions(coco_eval, classes)
    with Canvas(png_path, 7.4, 4.4) as figure:
        axis = figure.subplots()
        axis.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axis.set_title(f"Precision and recall, {len(names)} classes")
        if not names:
            axis.text(0.5, 0.5, "no objects to find", transform=axis.transAxes, ha="center", color=MUTED)
            return
        scores = half.mean(axis=0)
        for index, colour, style in best_and_worst(scores, extremes):
            axis.plot(
                recall,
                half[:, index],
                color=colour,
                lw=1.1,
                ls=style,
                label=f"{short(names[index])}  {scores[index]:.3f}",
            )
        axis.plot(recall, half.mean(axis=1), color=INK, lw=2.6, label=f"mean at IoU 0.50  {half.mean():.3f}")
        axis.plot(
            recall,
            strict.mean(axis=1),
            color=MUTED,
            lw=2.2,
            ls=(0, (5, 1.5)),
            label=f"mean at IoU 0.75  {strict.mean():.3f}",
        )
        handles, labels = axis.get_legend_handles_labels()
        # The two means are drawn last, above the classes, and listed first.
        order = [-2, -1, *range(len(handles) - 2)]
        axis.legend(
            [handles[i] for i in order],
            [labels[i] for i in order],
            title="average precision",
            alignment="left",
            loc="upper left",
            bbox_to_anchor=(1.02, 1.0),
        )


def precisions(coco_eval: Any, classes: Sequence[str] | None) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Returns the classes that have objects, and their precision (recalls, classes) at IoU 0.5 and 0.75."""
    parameters = coco_eval.params
    # Dimensions: IoU threshold, recall, class, size of objects (0: all), number of detections (-1: most). The
    # value -1 marks a class without objects.
    precision = coco_eval.eval["precision"][:, :, :, 0, -1]
    all_names = [coco_eval.cocoGt.cats[category]["name"] for category in parameters.catIds]
    keep = [
        index
        for index, name in enumerate(all_names)
        if (precision[:, :, index] > -1).any() and (classes is None or name in set(classes))
    ]
    at = [int(np.abs(np.asarray(parameters.iouThrs) - value).argmin()) for value in (0.5, 0.75)]
    return [all_names[i] for i in keep], precision[at[0]][:, keep], precision[at[1]][:, keep]


def best_and_worst(scores: np.ndarray, count: int) -> list[tuple[int, str, str]]:
    """(class, colour, line style) of the best and the worst classes; all classes where there are few."""
    best_first = [int(i) for i in np.argsort(-scores, kind="stable")]
    best = best_first[: min(count, (len(best_first) + 1) // 2)]
    worst = best_first[len(best) :][-count:]
    # More colours could not be told apart, so the hue tells best from worst and the line style one from
    # another.
    styles = ["-", "--", ":", "-."]
    tagged = [(best, GREEN), (worst, ORANGE)]
    return [(index, colour, styles[i % 4]) for group, colour in tagged for i, index in enumerate(group)]


def plot_confusion(matrix: np.ndarray, classes: Sequence[str], png_path: PathLike, about: str = "") -> None:
    """Draws a (C + 1, C + 1) `confusion_matrix` as a heat map, shaded by the share of each true class.

    ``about`` says in the title which detections count. Raises ValueError where the matrix does not fit the
    number of classes.
    """
    matrix = np.asarray(matrix)
    size = len(classes) + 1
    if matrix.shape != (size, size):
        raise ValueError(f"a matrix for {len(classes)} classes is {size} x {size}, got {matrix.shape}")
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.42 * size + 1.6, 4.2, 14.0))
    with Canvas(png_path, side + 0.6, side) as figure:
        axis = figure.subplots()
        image = axis.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        axis.grid(False)
        axis.set_title("Confusion matrix" + (f"\n{about}" if about else ""))
        axis.set(xlabel="predicted", ylabel="true")
        _name_ticks(axis, [*classes, "background"], side)
        axis.axhline(size - 1.5, color=MUTED, lw=0.8)
        axis.axvline(size - 1.5, color=MUTED, lw=0.8)
        bar = figure.colorbar(image, ax=axis, shrink=0.7, label="share of the true class")
        bar.outline.set_visible(False)
        if size <= 26:
            for row, column in np.argwhere(matrix > 0):
                axis.text(
                    column,
                    row,
                    f"{matrix[row, column]}",
                    ha="center",
                    va="center",
                    fontsize=9 if matrix.max() < 1000 else 7,
                    color="white" if share[row, column] > 0.55 else INK,
                )


def _name_ticks(axis: Any, names: list[str], side: float) -> None:
    """Names every class while there is room, else every second, third, and so on."""
    font = float(np.clip(60 * side / len(names), 5.5, 10))
    step = max(1, int(np.ceil(len(names) * font / (60 * side))))
    ticks = list(range(0, len(names), step))
    labels = [short(names[i]) for i in ticks]
    axis.set_xticks(ticks, labels, fontsize=font, rotation=90)
    if len(names) <= 26:
        axis.set_xticks(ticks, labels, fontsize=font, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(ticks, labels, fontsize=font)
    axis.tick_params(length=0)


def short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"
