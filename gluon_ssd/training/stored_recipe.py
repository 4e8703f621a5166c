"""The paths in a recipe that is stored with its run: absolute, and found again after both have moved.

A run keeps where its folder was, as ``output``. So a path can be read in two ways: as it is, or from the run
folder, as far away from it as it was then. The second is tried where nothing is left at the first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.coco import named_path
from ..errors import UserError
from ..files import absolute
from ..recipe import Recipe
from ..weights.pretrained import is_published


def stored_recipe(recipe: Recipe, run_dir: Path) -> dict[str, Any]:
    """The recipe as the checkpoints of a run keep it."""
    return replace(absolute_paths(recipe), output=str(absolute(run_dir))).to_dict()


def absolute_paths(recipe: Recipe) -> Recipe:
    """``recipe`` with every path that is read as seen from anywhere; names of published weights stay."""
    paths = {}
    for key in ("train_annotation", "train_images", "val_annotation", "val_images"):
        value = getattr(recipe, key)
        if value is not None:
            paths[key] = str(absolute(named_path(Path(recipe.data or "."), value)))
    # Without a data set folder, what is not named is looked for in the current one.
    if recipe.data is not None or paths:
        paths["data"] = str(absolute(recipe.data or "."))
    for key in ("weights", "pretrained_backbone"):
        value = getattr(recipe, key)
        if value is not None and not is_published(value):
            paths[key] = str(absolute(value))
    return recipe.override(paths)


def find_data(
    recipe: Mapping[str, Any], stored: Mapping[str, Any], run_dir: Path, splits: Sequence[str]
) -> dict[str, str]:
    """Where the data set of a run is now: ``data`` and the annotations and images of ``splits``, by key.

    ``recipe``: the keys of a recipe; what differs in it from ``stored``, those of a checkpoint of the run,
    was given by the user and stays. Raises UserError, with all places that were tried, when something is
    nowhere.
    """
    found: dict[str, str] = {}
    parts = [f"{split}_{what}" for split in splits for what in ("annotation", "images")]
    for key in ("data", *parts):
        value = recipe.get(key)
        if not isinstance(value, str):
            continue
        found[key] = value
        data = None if key == "data" else found.get("data")
        # What is in a data set that is nowhere needs no message of its own.
        if value == stored.get(key) and (data is None or os.path.exists(data)):
            found[key] = _first_existing(_places(value, stored, run_dir, data), key)
    return found


def _places(value: str, stored: Mapping[str, Any], run_dir: Path, data: str | None) -> list[str]:
    """Where a stored path may lead now, the likeliest first; ``data``: where the data set is now."""
    before = stored.get("data")
    places = [value]
    if data is not None and isinstance(before, str):
        moved = _moved(value, before, data)
        if moved is not None and not os.path.relpath(value, before).startswith(os.pardir):
            places.insert(0, moved)
        if not os.path.isabs(value):
            places.append(os.path.join(data, value))
    # Before recipes were stored with absolute paths, all of them were relative to the same folder.
    run_now, run_before = absolute(run_dir), stored.get("output")
    if not isinstance(run_before, str):
        run_before = os.path.join("runs", run_now.name)
    moved = _moved(value, run_before, str(run_now))
    return list(dict.fromkeys(places if moved is None else [*places, moved]))


def _moved(path: str, old: str, new: str) -> str | None:
    """``path`` as far from ``new`` as it was from ``old``, where that can be told."""
    if os.path.isabs(path) != os.path.isabs(old):
        return None
    return os.path.normpath(os.path.join(new, os.path.relpath(path, old)))


def _first_existing(places: Sequence[str], key: str) -> str:
    for place in places:
        if os.path.exists(place):
            return place
    others = "".join(f", nor does {place}" for place in places[1:])
    what = {"data": "data folder"}.get(key, key.replace("_", " "))
    raise UserError(f"{what} {places[0]} does not exist{others}; say where the data set is: --data FOLDER")
