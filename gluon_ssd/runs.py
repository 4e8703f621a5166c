"""Run folders: the next free one, the latest that can be resumed, and which process writes in one.

Also the recipe that a new call means, since that may be the one of a run folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from .errors import UserError
from .files import as_path, make_folder, unwritable
from .locks import try_lock
from .recipe import Recipe, load_recipe

RECIPE_FILE, LOG_FILE, RUN_FILE = "recipe.yaml", "train.log", "run.json"


def make_run_dir(model: str, root: str | Path = "runs") -> Path:
    """Makes and returns the folder ``root/<model>-<N>``, with N one above the highest that exists (from 1).

    Of several processes that ask at the same moment, each gets a folder of its own. Raises UserError when
    ``root`` cannot be written.
    """
    base = Path(root)
    make_folder(base)
    number = max([number for number, _ in _numbered(base, re.escape(model))], default=0)
    while True:
        number += 1
        folder = base / f"{model}-{number}"
        # Where it exists by now, another process was faster.
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder


def checkpoint_path(run_dir: Path, name: str = "last") -> Path:
    """Returns where a run keeps a checkpoint: ``last``, which it resumes from, ``best``, or ``epoch_NNN``."""
    return run_dir / "checkpoints" / f"{name}.ckpt"


def latest_run(model: str | None = None, root: str | Path = "runs") -> Path | None:
    """Returns the run folder under ``root`` (of ``model``, if given) that was written to last, or None."""
    pattern = re.escape(model) if model else ".+"
    runs = [path for _, path in _numbered(Path(root), pattern) if (path / RECIPE_FILE).is_file()]
    return max(runs, key=_last_written, default=None)


def lock_run(folder: Path) -> IO[str]:
    """Claims ``folder`` for this process: opens its train.log, and locks it until that file is closed.

    The log gets a line that names this process, for the message that other processes show. On a disk without
    locks the run goes on, and a line says so. Raises UserError when another process has the folder.
    """
    path = folder / LOG_FILE
    try:
        log = open(path, "a", encoding="utf-8")  # noqa: SIM115 - stays open
        problem = _lock(log, folder, patience=0.1)
        log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} process {os.getpid()} on {socket.gethostname()}\n")
        log.flush()
    except OSError as error:
        raise unwritable(path, error, "choose another --output") from None
    if problem:
        text = f"{path}: cannot be locked ({problem}); start no second training in this folder"
        print(text, file=sys.stderr, flush=True)
    return log


def refuse_running(folder: Path) -> None:
    """Raises UserError when a process has claimed ``folder``, which need not exist."""
    # Open for writing, as a lock needs it, but without making a file where there is none.
    with contextlib.suppress(OSError), open(folder / LOG_FILE, "r+", encoding="utf-8") as log:
        _lock(log, folder, shared=True)


def _lock(log: IO[str], folder: Path, shared: bool = False, patience: float = 0) -> str | None:
    """Locks as `try_lock` does.

    Tries again after ``patience`` seconds, since another process may only be looking.
    """
    try:
        return try_lock(log, shared)
    except BlockingIOError:
        if patience:
            time.sleep(patience)
            return _lock(log, folder, shared)
        holder = _holder(folder / LOG_FILE)
        advice = "let it end, or choose another --output"
        raise UserError(f"{folder}: {holder} is training there; {advice}") from None


def _holder(log: Path) -> str:
    """The process that wrote the latest such line into its log."""
    text = log.read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"^[\d-]+ [\d:]+ (process \d+ on \S+)$", text, re.MULTILINE)
    return found[-1] if found else "another process"


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
    """Returns the recipe that a name, a .yaml file or a recipe asks for, with the ``values`` of its keys.

    With ``resume`` among the values it is the recipe of the run folder, if there is one, with the values
    replaced. ``source`` is what an error calls the place where the values come from. Raises UserError for
    what does not fit, and where there is nothing to resume.
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
    # The epochs that are trained already had their schedule, so that more of them do not change it.
    return resumed.override({**values, "output": str(folder)}, source, scale=False)


def _resumed_folder(wanted: Recipe | None, values: Mapping[str, Any]) -> Path | None:
    output = values.get("output") or (wanted.output if wanted else None)
    if output is None:
        return latest_run(wanted.model if wanted else values.get("model"))
    folder = as_path(output)
    if (folder / RECIPE_FILE).is_file():
        return folder
    if wanted is None:
        raise UserError(f"{folder}: no {RECIPE_FILE} there, so nothing to resume")
    return None
