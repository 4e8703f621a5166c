"""Run folders: the next free name, the latest that can be resumed, and the recipe that a new call means."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Mapping

from .errors import UserError
from .recipe import Recipe, load_recipe

RECIPE_FILE = "recipe.yaml"


def next_run_dir(model: str, root: str | Path = "runs") -> Path:
    """Return ``root/<model>-<N>`` with N one above the highest that exists (from 1); does not create it."""
    numbers = [number for number, _ in _numbered(Path(root), re.escape(model))]
    return Path(root) / f"{model}-{max(numbers, default=0) + 1}"


def latest_run(model: str | None = None, root: str | Path = "runs") -> Path | None:
    """Return the run folder under ``root`` (of ``model``, if given) that was written to last, or None."""
    pattern = re.escape(model) if model else ".+"
    runs = [path for _, path in _numbered(Path(root), pattern) if (path / RECIPE_FILE).is_file()]
    return max(runs, key=_last_written, default=None)


def _numbered(root: Path, pattern: str) -> list[tuple[int, Path]]:
    if not root.is_dir():
        return []
    matches = ((re.fullmatch(rf"{pattern}-(\d+)", path.name), path) for path in root.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def _last_written(run: Path) -> float:
    # Writing into a checkpoint folder does not touch the time of the run folder around it.
    places = [run, run / RECIPE_FILE, run / "checkpoints", run / "metrics.csv"]
    return max(place.stat().st_mtime for place in places if place.exists())


def resolve_recipe(
    recipe: str | os.PathLike[str] | Recipe | None, values: Mapping[str, Any], source: str = "command line"
) -> Recipe:
    """Returns the recipe that a name, a .yaml file or a recipe and the ``values`` of its keys ask for.

    With ``resume`` among the values it is that of the run folder, if there is one, with the values replaced.
    ``source`` is how an error calls where the values come from. Raises UserError for what does not fit, and
    where there is nothing to resume.
    """
    wanted = None
    if recipe is not None:
        wanted = (recipe if isinstance(recipe, Recipe) else load_recipe(recipe)).override(values, source)
    if not values.get("resume"):
        return wanted or Recipe().override(values, source)
    folder = _resumed_folder(wanted, values)
    if folder is None:
        # A job that is always started with resume trains from the beginning the first time.
        if wanted is not None:
            return wanted
        raise UserError("nothing to resume under runs/; name the run: --resume --output runs/NAME")
    resumed = Recipe.from_yaml(folder / RECIPE_FILE)
    if wanted is not None and wanted.model != resumed.model:
        raise UserError(
            f"{folder}: holds a run of {resumed.model}, not of {wanted.model}; use another --output"
        )
    return resumed.override({**values, "output": str(folder)}, source)


def _resumed_folder(wanted: Recipe | None, values: Mapping[str, Any]) -> Path | None:
    output = values.get("output") or (wanted.output if wanted else None)
    if output is None:
        return latest_run(wanted.model if wanted else values.get("model"))
    folder = Path(output).expanduser()
    if (folder / RECIPE_FILE).is_file():
        return folder
    if wanted is None:
        raise UserError(f"{folder}: no {RECIPE_FILE} there, so nothing to resume")
    return None
