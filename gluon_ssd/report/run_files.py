"""What a run folder, or the folder of an evaluation, holds for a report."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..errors import UserError
from ..files import as_path, refuse_device, similar
from ..recipe import Recipe
from ..runs import RECIPE_FILE, RUN_FILE
from ..values import refuse_expansion
from .plots import read_metrics

PAGE, ANALYSIS = "report.html", "report.json"
# The version of what `analyse` returns; a page cannot be made of another.
FORMAT = 1
# What a training writes about one of its processes.
_SESSION = {"command": str, "started": str, "machine": str, "versions": dict, "seconds": dict}


@dataclass(frozen=True)
class RunFiles:
    """``recipe`` and ``sessions`` are empty for an evaluation that belongs to no run.

    ``metrics``: columns of metrics.csv. ``sessions``: the processes that have trained, see `provenance`.
    ``analysis``: what `analyse` has returned; None where nothing was evaluated, or by another version.
    """

    folder: Path
    recipe: dict[str, Any]
    metrics: dict[str, np.ndarray]
    sessions: list[dict[str, Any]]
    analysis: dict[str, Any] | None

    @property
    def name(self) -> str:
        """Returns what the run is called: the name of its folder."""
        return self.folder.resolve().name

    def changed(self) -> dict[str, Any]:
        """Returns the keys of the recipe whose values are not the defaults."""
        defaults = Recipe().to_dict()
        return {key: value for key, value in self.recipe.items() if value != defaults.get(key)}

    def epochs(self) -> list[float]:
        """Returns the epochs that were trained."""
        return [float(epoch) for epoch in self.metrics.get("epoch", ())]


def home_of(folder: Path) -> Path:
    """Returns the folder whose page shows the evaluation in ``folder``: for ``val/`` of a run, that run."""
    whole = folder.resolve()
    return folder.parent if whole.name == "val" and (whole.parent / RECIPE_FILE).is_file() else folder


def read_run(where: str | Path) -> RunFiles:
    """Reads a run folder, or the folder that ``gluon-ssd val`` has written.

    Raises UserError where it is neither, or where a file in it cannot be read.
    """
    folder = as_path(where)
    home = folder.absolute().parent
    if folder.is_file() and home.name == "checkpoints":
        # What `val` takes: the checkpoint of a run.
        folder = home.parent
    if not folder.is_dir():
        advice = similar(folder) or "; name the folder of a run, or one that val has written"
        raise UserError(f"{folder}: is no folder{advice}")
    home = home_of(folder)
    of_run = (home / RECIPE_FILE).is_file()
    analysis = _json(home / "val" / ANALYSIS if of_run else home / ANALYSIS)
    if not isinstance(analysis, dict) or analysis.get("format") != FORMAT:
        analysis = None
    if not of_run and analysis is None:
        raise UserError(
            f"{folder}: holds neither {RECIPE_FILE} nor {ANALYSIS}; name the folder of a run, or one that "
            "val has written"
        )
    metrics = home / "metrics.csv"
    return RunFiles(
        home,
        _recipe(home / RECIPE_FILE) if of_run else {},
        read_metrics(metrics) if metrics.is_file() else {},
        _sessions(home / RUN_FILE) if of_run else [],
        analysis,
    )


def _recipe(path: Path) -> dict[str, Any]:
    """Returns the keys that a stored recipe gives. It may be of an older version, whose keys were others."""
    try:
        refuse_device(path)
        text = path.read_text(encoding="utf-8")
        values = refuse_expansion(yaml.safe_load(text), text) or {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: is no recipe, which is a list of 'key: value' lines")
    known = {item.name for item in fields(Recipe)}
    return {key: value for key, value in values.items() if key in known}


def _sessions(path: Path) -> list[dict[str, Any]]:
    record = _json(path)
    if record is None:
        return []
    rows = record.get("sessions") if isinstance(record, dict) else None
    if not isinstance(rows, list) or not all(map(_is_session, rows)):
        raise UserError(f"{path}: is not as a training writes it; delete it, and the report does without")
    return rows


def _is_session(row: Any) -> bool:
    if not isinstance(row, dict) or not all(isinstance(row.get(key), kind) for key, kind in _SESSION.items()):
        return False
    return all(isinstance(seconds, (int, float)) for seconds in row["seconds"].values())


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete it, and the report does without") from None
