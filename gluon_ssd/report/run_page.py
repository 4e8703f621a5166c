"""The page of a run, and the page that compares several: all that their folders hold, in one file of HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..console import duration
from .charts import Chart, Line, chart
from .pages import file_as_data, render, write_page
from .plots import GREEN, best_and_worst
from .run_files import PAGE, RunFiles, read_run

# pycocotools' twelve numbers: name, row and column of the table.
NUMBERS = (
    ("AP", (("map", "IoU 0.50:0.95"), ("ap50", "IoU 0.50"), ("ap75", "IoU 0.75"))),
    ("AP by size", (("ap_small", "small"), ("ap_medium", "medium"), ("ap_large", "large"))),
    ("AR", (("ar_1", "1 detection"), ("ar_10", "10 detections"), ("ar_100", "100 detections"))),
    ("AR by size", (("ar_small", "small"), ("ar_medium", "medium"), ("ar_large", "large"))),
)
KIND_WORDS = {
    "class": "right place, wrong class",
    "location": "right class, IoU with it from 0.1 to 0.5",
    "both": "wrong class and wrong place",
    "duplicate": "the object has a better detection already",
    "background": "IoU below 0.1 with every object",
    "missed": "objects without any of these and without a right detection",
}
PARTS = {
    "waiting": ("waiting for images", "orange"),
    "forward": ("forward", "blue"),
    "backward": ("backward", "green"),
    "update": ("update", "pink"),
    "training": ("training steps", "blue"),
    "evaluation": ("evaluation", "muted-line"),
    "rest": ("start, checkpoints and the rest", "ink"),
}
STYLES = ("blue", "orange", "green", "pink", "ink", "muted-line")
# Larger confusion matrices are lists of what is confused most.
_MATRIX, _CONFUSED = 30, 40
_EXTREMES = 2


def write_report(where: str | Path) -> Path:
    """Writes report.html of a run, or of the evaluation in a folder, and returns its path.

    Raises UserError for a folder without either, and where the page cannot be written.
    """
    run = read_run(where)
    path = run.folder / PAGE
    write_page(path, run_page(run))
    return path


def run_page(run: RunFiles) -> str:
    """Returns the page of a run as HTML."""
    analysis = run.analysis
    return render(
        "run.html",
        run=run,
        analysis=analysis,
        made=_made(run),
        tiles=_tiles(run),
        training=_training_charts(run),
        parts=_parts(run),
        curves=_score_charts(analysis) if analysis else [],
        numbers=NUMBERS,
        classes=_best_first(analysis["classes"]) if analysis else [],
        matrix=_matrix(analysis["confusion"]) if analysis else None,
        kind_words=KIND_WORDS,
        most_cost=max([kind["cost"] for kind in analysis["kinds"]] + [1e-9]) if analysis else 1,
        most_objects=max([size["objects"] for size in analysis["sizes"]] + [1]) if analysis else 1,
        changed=_as_yaml(run.changed()),
        recipe=_as_yaml(run.recipe),
        batch=file_as_data(run.folder / "train_batch.jpg") if run.recipe else None,
    )


def write_comparison(places: Sequence[str | Path], output: Path) -> None:
    """Writes the page that compares several runs. Raises UserError as `write_report` does."""
    runs = [read_run(place) for place in places]
    write_page(output, comparison_page(runs))


def comparison_page(runs: Sequence[RunFiles]) -> str:
    """Returns the page that compares runs as HTML."""
    names = _distinct_names(runs)
    keys = [key for run in runs for key in run.recipe if key != "output"]
    differing = [key for key in dict.fromkeys(keys) if len({repr(run.recipe.get(key)) for run in runs}) > 1]
    return render(
        "compare.html",
        runs=list(zip(names, STYLES * len(runs), runs)),
        differing=differing,
        numbers=[(group, name, words) for group, row in NUMBERS for name, words in row],
        best={
            name: max((run.analysis["stats"][name] for run in runs if run.analysis), default=None)
            for _, row in NUMBERS
            for name, _ in row
        },
        charts_of_runs=_charts_of_runs(runs, names),
        classes=_class_rows(runs),
        kind_words=KIND_WORDS,
        time=[_time(run) for run in runs],
    )


def _distinct_names(runs: Sequence[RunFiles]) -> list[str]:
    """Returns the names of the folders, or their paths where two have the same name."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.folder) for run in runs]


def _charts_of_runs(runs: Sequence[RunFiles], names: Sequence[str]) -> list[Chart]:
    """Returns mAP and loss over the epochs, a curve for each run."""
    charts = []
    for column, title, y_range in (("map", "mAP", (0.0, 1.0)), ("loss", "Loss", None)):
        lines = [_line(name, run, column, style) for name, style, run in zip(names, STYLES * len(runs), runs)]
        charts.append(chart(title, lines, "epoch", y_range=y_range))
    return [each for each in charts if each is not None]


def _line(name: str, run: RunFiles, column: str, style: str) -> Line:
    """Returns a column of metrics.csv over the epochs that have a value; the note is the last of them."""
    values = run.metrics.get(column, np.zeros(0)).tolist()
    known = [(x, y) for x, y in zip(run.epochs(), values) if math.isfinite(y)]
    note = f"{known[-1][1]:.3g}" if known else ""
    return Line(name, [x for x, _ in known], [y for _, y in known], style, note=note)


def _class_rows(runs: Sequence[RunFiles]) -> list[tuple[str, list[float | None]]]:
    """Returns the AP of every class in each run."""
    tables = [
        {row["name"]: row["ap"] for row in run.analysis["classes"]} if run.analysis else {} for run in runs
    ]
    names = dict.fromkeys(name for table in tables for name in table)
    return [(name, [table.get(name) for table in tables]) for name in names]


def _made(run: RunFiles) -> dict[str, Any]:
    """Returns what was run last: the evaluation, where it is no part of a training."""
    if run.analysis and run.analysis["made"]:
        return dict(run.analysis["made"])
    return dict(run.sessions[-1]) if run.sessions else {}


def _tiles(run: RunFiles) -> list[tuple[str, str]]:
    """Returns the headline numbers and what they are."""
    tiles: list[tuple[str, str]] = []
    if run.analysis:
        stats, best = run.analysis["stats"], run.analysis["best"]
        tiles = [(f"{stats['map']:.3f}", "mAP, IoU 0.50:0.95"), (f"{stats['ap50']:.3f}", "AP50")]
        if best:
            tiles.append((f"{best['f1']:.3f}", f"best F1, at score {best['threshold']:.2f}"))
        tiles.append((f"{run.analysis['images']:,}", "images evaluated"))
    if run.epochs():
        tiles.append((f"{run.epochs()[-1]:g}", "epochs trained"))
        tiles.append((_time(run), "time"))
    return tiles


def _time(run: RunFiles) -> str:
    spent = sum(sum(session["seconds"].values()) for session in run.sessions)
    if not spent:
        spent = float(np.nansum(run.metrics.get("seconds", np.zeros(1))))
    return duration(spent)


def _parts(run: RunFiles) -> list[tuple[str, str, str, float]]:
    """Returns what the time of the training went into: words, style, length and share of each part."""
    total = {part: sum(s["seconds"].get(part, 0.0) for s in run.sessions) for part in PARTS}
    whole = sum(total.values())
    return [
        (*PARTS[part], duration(seconds), seconds / whole) for part, seconds in total.items() if seconds > 0
    ]


def _training_charts(run: RunFiles) -> list[Chart]:
    """Returns losses, mAP, learning rate and speed over the epochs."""
    parts = [name for name in run.metrics if name.endswith("_loss")]
    losses = [(part, part[: -len("_loss")].replace("cls", "class"), s) for part, s in zip(parts, STYLES)]
    rows: list[tuple[str, list[tuple[str, str, str]], tuple[float, float] | None]] = [
        ("Loss", [("loss", "total", "ink"), *losses], None),
        ("mAP on the validation images", [("map", "mAP", "blue"), ("ap50", "AP50", "green")], (0.0, 1.0)),
        ("Learning rate", [("lr", "lr", "blue")], None),
        ("Images per second", [("images_per_second", "images/s", "blue")], None),
    ]
    charts = [
        chart(
            title,
            [_line(name, run, column, style) for column, name, style in columns],
            "epoch",
            y_range=y_range,
        )
        for title, columns, y_range in rows
    ]
    return [each for each in charts if each is not None]


def _score_charts(analysis: dict[str, Any]) -> list[Chart]:
    """Returns precision over recall, and what each score threshold gives."""
    confidence, best, unit = analysis["confidence"], analysis["best"], (0.0, 1.0)
    scores = np.arange(len(confidence["f1"])) / len(confidence["f1"])
    each = [
        Line("precision", scores, _floats(confidence["precision"]), "blue"),
        Line("recall", scores, _floats(confidence["recall"]), "orange"),
        Line("F1", scores, _floats(confidence["f1"]), "ink", note=f"{best['f1']:.3f}" if best else ""),
    ]
    mark = (best["threshold"], f"best F1, at {best['threshold']:.2f}") if best else None
    curves = _precision_lines(analysis["precision"])
    charts = [
        chart("Precision over recall", curves, "recall", x_range=unit, y_range=unit),
        chart("What a score threshold gives", each, "score threshold", x_range=unit, y_range=unit, mark=mark),
    ]
    return [each for each in charts if each is not None]


def _precision_lines(precision: dict[str, Any]) -> list[Line]:
    """Returns the curves of the best classes in green, of the worst in orange, and those of the means."""
    recall, classes = precision["recall"], precision["classes"]
    if not classes:
        return []
    means = np.array([np.mean(row["y"]) for row in classes])
    chosen = best_and_worst(means, _EXTREMES) if len(classes) > 1 else []
    lines = [
        _mean_line(
            classes[k]["name"], recall, classes[k]["y"], "green" if colour == GREEN else "orange", True
        )
        for k, colour, _ in chosen
    ]
    lines.append(_mean_line("mean at IoU 0.75", recall, precision["strict"], "muted-line"))
    return [*lines, _mean_line("mean at IoU 0.50", recall, precision["half"], "ink")]


def _mean_line(name: str, x: Sequence[float], y: Sequence[float], style: str, dashed: bool = False) -> Line:
    return Line(name, x, y, style, dashed, f"{np.mean(y):.3f}")


def _floats(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _matrix(confusion: dict[str, Any]) -> dict[str, Any]:
    """Returns the confusion matrix by share of each true class, or the most frequent confusions of many."""
    counts = np.array(confusion["matrix"])
    names = [*confusion["classes"], "background"]
    if len(names) - 1 <= _MATRIX:
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        rows = [
            (name, list(zip(row, share))) for name, row, share in zip(names, counts.tolist(), shares.tolist())
        ]
        return {"names": names, "rows": rows, "pairs": []}
    wrong = counts * (1 - np.eye(len(counts), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSED]
    places = [divmod(int(place), len(counts)) for place in order]
    pairs = [
        (names[row], names[column], int(wrong[row, column])) for row, column in places if wrong[row, column]
    ]
    return {"names": names, "rows": [], "pairs": pairs}


def _best_first(classes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rows of classes by falling AP; those without objects come last."""
    return sorted(classes, key=lambda row: -1.0 if row["ap"] is None else row["ap"], reverse=True)


def _as_yaml(values: dict[str, Any]) -> str:
    return yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=110) if values else ""
