"""Which split a folder, a list or an annotation file belongs to, by its name."""

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
    """Returns train, val or test for a name that means one of them, None for any other.

    Case does not matter, and a year behind the name is ignored.
    """
    plain = re.sub(r"[ _-]?(19|20)\d\d$", "", name.strip().casefold())
    # The second look-up joins the words, so that "validation_set" and "train-val" are known too.
    return _SPLIT_OF.get(plain) or _SPLIT_OF.get(re.sub(r"[ _-]+", "", plain))


def split_in(stem: str) -> str | None:
    """Returns the one split that is among the words of a file's name; None for no split or several."""
    words = re.split(r"[^a-z0-9]+", stem.casefold())
    found = {split for split in map(split_of, words) if split}
    return found.pop() if len(found) == 1 else None


def first_of_each(paths: Iterable[Path], lines: list[str]) -> dict[str, Path]:
    """Returns the path of each split, in the order of SPLITS. Of several paths the plainest name is taken.

    ``lines`` receives a sentence for each of the others.
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
    """A sort key: 'trainval' last, then the shorter name first, so "train" comes before "train2017"."""
    return "trainval" in path.name.casefold(), len(path.name), path.name


def split_folders(root: Path, lines: list[str] | None = None) -> dict[str, Path]:
    """Returns the folders of ``root`` that are named like a split, by train, val and test."""
    try:
        folders = [path for path in root.iterdir() if path.is_dir()]
    except OSError:
        return {}
    return first_of_each(folders, [] if lines is None else lines)


def folder_called(root: Path, *names: str) -> Path | None:
    """Returns the folder of ``root`` that has the first of these names, whatever its case."""
    try:
        found = {path.name.casefold(): path for path in sorted(root.iterdir()) if path.is_dir()}
    except OSError:
        return None
    return next((found[name] for name in names if name in found), None)
