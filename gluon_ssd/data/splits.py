"""Which split a folder, a list or an annotation file is of, by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

SPLITS = ("train", "val", "test")
_SYNONYMS = {
    "train": ("train", "training", "trainset", "trn", "trainval"),
    "val": ("val", "valid", "validation", "valset", "validationset", "dev"),
    "test": ("test", "testing", "testset", "tst"),
}
_SPLIT_OF = {name: split for split, names in _SYNONYMS.items() for name in names}


def split_of(name: str) -> str | None:
    """Return train, val or test for a name that means one, whatever its case, a year behind it left aside."""
    plain = re.sub(r"[ _-]?(19|20)\d\d$", "", name.strip().casefold())
    return _SPLIT_OF.get(plain) or _SPLIT_OF.get(re.sub(r"[ _-]+", "", plain))


def split_in(stem: str) -> str | None:
    """Return the one split that is among the words of a file's name, None where there is none, or several."""
    words = re.split(r"[^a-z0-9]+", stem.casefold())
    found = {split for split in map(split_of, words) if split}
    return found.pop() if len(found) == 1 else None


def first_of_each(paths: Iterable[Path], lines: list[str]) -> dict[str, Path]:
    """Return the path of each split, in the order of SPLITS; of several for one split the plainest name.

    ``lines`` is told of the others.
    """
    ranked: dict[str, list[Path]] = {}
    for path in paths:
        split = split_of(path.stem if path.is_file() else path.name)
        if split:
            ranked.setdefault(split, []).append(path)
    chosen = {}
    for split in SPLITS:
        several = sorted(ranked.get(split, []), key=_plainness)
        if several:
            chosen[split] = several[0]
        for other in several[1:]:
            lines.append(f"{other} is not used, since {several[0]} is the split '{split}'")
    return chosen


def _plainness(path: Path) -> tuple[bool, int, str]:
    """'trainval' last; then by length, so that a plain name comes before one with a year."""
    return "trainval" in path.name.casefold(), len(path.name), path.name


def split_folders(root: Path, lines: list[str] | None = None) -> dict[str, Path]:
    """Return the folders of ``root`` that are called like a split, by our name of it."""
    try:
        folders = [path for path in root.iterdir() if path.is_dir()]
    except OSError:
        return {}
    return first_of_each(folders, [] if lines is None else lines)


def folder_called(root: Path, *names: str) -> Path | None:
    """Return the folder of ``root`` that has the first of these names, whatever its case."""
    try:
        found = {path.name.casefold(): path for path in sorted(root.iterdir()) if path.is_dir()}
    except OSError:
        return None
    return next((found[name] for name in names if name in found), None)
