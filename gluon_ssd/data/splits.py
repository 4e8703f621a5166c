"""Which split a folder, a list or an annotation file belongs to, by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

SPLITS = ("train", "val", "test")
OF_NO_SPLIT = "its name is of no split (train, val, test)"
_SYNONYMS = {
    "train": ("train", "training", "trn", "trainval"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
# Words that may stand behind the name of a split.
_BEHIND = re.compile(r"(set|data|images|imgs|img|list)$")
_SPLIT_OF = {name: split for split, names in _SYNONYMS.items() for name in names}


def split_of(name: str) -> str | None:
    """Returns train, val or test for a name that means one of them, None for any other.

    Case does not matter, and a year behind the name is ignored.
    """
    plain = re.sub(r"[ _-]?(19|20)\d\d$", "", name.strip().casefold())
    # The words are joined, so that "train-val" and "validation_set" are known too.
    joined = re.sub(r"[ _-]+", "", plain)
    return _SPLIT_OF.get(joined) or _SPLIT_OF.get(_BEHIND.sub("", joined))


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


def split_by_folder(files: Iterable[Path], root: Path, lines: list[str]) -> dict[str, list[Path]]:
    """Returns label files below ``root`` by split, as the folders say in which they are.

    Without any folder of a split all are train. With one, those in other folders are not used, and those in
    none are train. ``lines`` is told of both.
    """
    parts: dict[str, list[Path]] = {}
    others: dict[Path, list[Path]] = {}
    above = {root}
    for path in files:
        split = next(filter(None, map(split_of, path.relative_to(root).parts[:-1])), None)
        if split:
            parts.setdefault(split, []).append(path)
            above.update(path.parent.parents)
        else:
            others.setdefault(path.parent, []).append(path)
    loose = [path for folder, found in others.items() if folder in above or not parts for path in found]
    named = sorted(str(folder) for folder in others if folder not in above)
    if parts:
        lines += [f"{folder} is not used: {OF_NO_SPLIT}" for folder in named]
        if loose:
            lines.append(f"{len(loose)} label files are in no folder of a split; they are taken as train")
    elif len(named) > 1:
        listed = ", ".join(named[:3]) + (", ..." if len(named) > 3 else "")
        lines.append(f"{listed}: of no split (train, val, test); all is taken as train")
    if loose:
        parts["train"] = [*parts.get("train", []), *loose]
    return {split: parts[split] for split in SPLITS if split in parts}


def folder_called(root: Path, *names: str) -> Path | None:
    """Returns the folder of ``root`` that has the first of these names, whatever its case."""
    try:
        found = {path.name.casefold(): path for path in sorted(root.iterdir()) if path.is_dir()}
    except OSError:
        return None
    return next((found[name] for name in names if name in found), None)
