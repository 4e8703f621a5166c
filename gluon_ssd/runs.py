"""Names of run folders: the next free one, and the latest that can be resumed."""

from __future__ import annotations

import re
from pathlib import Path

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
