"""The folder of a run: claimed for one training at a time, with what every run begins with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from ..errors import UserError
from ..files import atomic_write, make_folder, remove_leftovers
from ..locks import only_writer
from ..recipe import Recipe
from ..runs import RECIPE_FILE, checkpoint_path, lock_run, make_run_dir
from .distributed import World
from .stored_recipe import absolute_paths


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
    run_dir = Path(recipe.output).expanduser() if recipe.output else make_run_dir(recipe.model)
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
    for folder in (run_dir, run_dir / "checkpoints"):
        remove_leftovers(folder)
    if (run_dir / "val").is_dir():
        with only_writer(run_dir / "val"):
            remove_leftovers(run_dir / "val")
    with atomic_write(run_dir / RECIPE_FILE) as temporary:
        # Resuming is a matter of one call, not of the run: whoever copies the recipe wants a new one.
        kept = replace(absolute_paths(recipe), resume=False)
        temporary.write_text(kept.to_yaml(), encoding="utf-8")
