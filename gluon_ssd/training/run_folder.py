"""The folder of a run: claimed for one training at a time, with the recipe that it was started with.

The paths in a stored recipe are absolute, and found again after run and data set have moved: a run keeps
where its folder was, as ``output``. So a path can be read in two ways: as it is, or from the run folder, as
far away from it as it was then. The second is tried where nothing is left at the first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from ..data.coco import named_path
from ..errors import UserError
from ..files import absolute, as_path, atomic_write, make_folder, remove_leftovers, similar
from ..recipe import Recipe
from ..runs import RECIPE_FILE, checkpoint_path, lock_run, make_run_dir
from ..weights.pretrained import is_published
from .distributed import World


@dataclass(frozen=True)
class RunFolder:
    """``path`` is known to every rank; ``lock`` is rank 0's, and keeps other trainings out until `close`."""

    path: Path
    lock: IO[str] | None

    def close(self) -> None:
        """Releases the folder, for other trainings to claim."""
        if self.lock is not None:
            self.lock.close()


def refuse_old_run(run_dir: Path) -> None:
    """Raises UserError when ``run_dir`` holds a run that could be resumed."""
    if checkpoint_path(run_dir).is_file():
        raise UserError(f"{run_dir}: holds a run already; go on with --resume, or choose another --output")


def claim_folder(recipe: Recipe, world: World, resumed: bool) -> RunFolder:
    """Makes the run folder that ``recipe`` wants and claims it, so that no other training writes there.

    Collective: rank 0 alone touches the folder, the others learn its name. ``resumed``: the run in the folder
    goes on. Raises UserError when another training has the folder, or it cannot be written.
    """
    if not world.first:
        return RunFolder(world.share(None), None)
    run_dir = as_path(recipe.output) if recipe.output else make_run_dir(recipe.model)
    make_folder(run_dir)
    folder = RunFolder(run_dir, lock_run(run_dir))
    try:
        if not resumed:
            # Another training may have come and gone since the inputs were checked.
            refuse_old_run(run_dir)
        _prepare(run_dir, recipe)
    except BaseException:
        folder.close()
        raise
    world.share(run_dir)
    return folder


def _prepare(run_dir: Path, recipe: Recipe) -> None:
    """Puts the recipe in and removes what a killed process left."""
    make_folder(run_dir / "checkpoints")
    for folder in (run_dir, run_dir / "checkpoints", run_dir / "val"):
        remove_leftovers(folder)
    with atomic_write(run_dir / RECIPE_FILE) as temporary:
        # Resuming is a matter of one call, not of the run: whoever copies the recipe wants a new one.
        kept = replace(absolute_paths(recipe), resume=False)
        temporary.write_text(kept.to_yaml(), encoding="utf-8")


def stored_recipe(recipe: Recipe, run_dir: Path) -> dict[str, Any]:
    """Returns the recipe as the checkpoints of a run keep it."""
    return replace(absolute_paths(recipe), output=str(absolute(run_dir))).to_dict()


def absolute_paths(recipe: Recipe) -> Recipe:
    """Returns ``recipe`` with its paths, but ``output``, made absolute; names of published weights stay."""
    paths: dict[str, Any] = {}
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
    if recipe.json_summary is not None:
        paths["json_summary"] = str(absolute(recipe.json_summary))
    # Not `override`, for which a key that is given puts others aside.
    return replace(recipe, **paths)


def find_data(
    recipe: Mapping[str, Any], stored: Mapping[str, Any], run_dir: Path, splits: Sequence[str]
) -> dict[str, str]:
    """Returns where the data of a run is now: ``data``, and annotations and images of ``splits``, by key.

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
    """Returns where a stored path may lead now, the likeliest first; ``data``: where the data set is now."""
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
    """Returns ``path`` as far from ``new`` as it was from ``old``; None where that cannot be told."""
    if os.path.isabs(path) != os.path.isabs(old):
        return None
    return os.path.normpath(os.path.join(new, os.path.relpath(path, old)))


def _first_existing(places: Sequence[str], key: str) -> str:
    for place in places:
        if os.path.exists(place):
            return place
    others = "".join(f", nor does {place}" for place in places[1:])
    advice = similar(Path(places[0])) or "; say where the data set is: --data FOLDER"
    what = {"data": "data folder"}.get(key, key.replace("_", " "))
    raise UserError(f"{what} {places[0]} does not exist{others}{advice}")
