"""What the readers of all formats share: text, class lists, images on disk."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import UserError, unknown
from ..finder import walk_images
from ..splits import OF_NO_SPLIT
from .model import MISSING, OTHER_CLASS, Box, DataSet, Picture

# The last is what Roboflow writes.
CLASS_FILES = ("classes.txt", "labels.txt", "obj.names", "_darknet.labels")


def read_file(path: Path) -> bytes:
    """Returns the content of a file. Raises UserError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None


def peek(path: Path) -> bytes:
    """Returns the content of a file that may be of any format, and nothing where it cannot be read.

    Formats are recognised by it. Only reading the labels refuses a file, with `read_file`.
    """
    try:
        return path.read_bytes()
    except OSError:
        return b""


def peek_text(path: Path) -> str:
    """Returns a text file like `read_text`, and an empty text where it is none."""
    try:
        return read_text(path)
    except UserError:
        return ""


def read_text(path: Path) -> str:
    """Returns a text file in UTF-8, or in UTF-16 with its mark, with Unix line ends.

    Raises UserError when it cannot be read or is not text.
    """
    data = read_file(path)
    try:
        return data.decode(encoding(data)).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not text in UTF-8; convert it") from None


def encoding(data: bytes) -> str:
    """Returns the encoding of a text that begins with ``data``: UTF-16 where it has its mark, else UTF-8."""
    return "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"


def read_classes(path: Path) -> list[str]:
    """Returns a class list, one name per line; blank lines at the end do not count. Raises UserError."""
    lines = [line.strip() for line in read_text(path).rstrip().split("\n")]
    for number, name in enumerate(lines, start=1):
        # A blank line in between would be a class of its own to the tool that numbered the labels.
        if not name and len(lines) > 1:
            raise UserError(f"{path} line {number}: no class name; remove the blank line")
    return check_names([name for name in lines if name], path)


def check_names(names: Sequence[Any], where: object) -> list[str]:
    """Returns the names. Raises UserError where one is missing, doubled or not text."""
    if not names:
        raise UserError(f"{where}: the class list is empty; name at least one class")
    seen = set()
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise UserError(f"{where}: class {index} is {name!r}; it must be a name (put it in quotes)")
        if name in seen:
            raise UserError(f"{where}: the class {name!r} is listed twice; give each its own name")
        seen.add(name)
    return list(names)


def class_file(*folders: Path) -> Path | None:
    """Returns classes.txt, or a file of a similar name, from the first folder that has one; else None.

    Case does not matter.
    """
    for folder in folders:
        names = {name.casefold(): name for name in sorted(os.listdir(folder))} if folder.is_dir() else {}
        found = [folder / names[name] for name in CLASS_FILES if name in names]
        if any(path.is_file() for path in found):
            return next(path for path in found if path.is_file())
    return None


def name_others(root: Path, splits: Mapping[str, Path], lines: list[str]) -> None:
    """Tells ``lines`` of the images of ``root`` that are in none of the folders of ``splits``."""
    counts = Counter(name.partition("/")[0] if "/" in name else "" for name in walk_images(root))
    for folder in splits.values():
        del counts[folder.name]
    loose = counts.pop("", 0)
    if not splits:
        if len(counts) > 1:
            lines.append(f"the folders of {root} are of no split (train, val, test); all is taken as train")
        return
    lines += [f"{root / name} is not used: {OF_NO_SPLIT}" for name in sorted(counts)]
    if loose:
        lines.append(f"{root}: {loose} images are in no folder of a split; they are not used")


class Images:
    """The images under a folder, sub-folders included, to be found by name with or without suffix."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = sorted(walk_images(folder), key=lambda name: PurePosixPath(name).parts)
        self._by_key: dict[str, list[str]] = {}
        for name in self.names:
            path = PurePosixPath(name)
            for key in {name, str(path.with_suffix("")), path.name, path.stem}:
                self._by_key.setdefault(key, []).append(name)

    def find(self, *keys: str) -> str | None:
        """Returns the image of the first of these names, stems or paths that is there, else None.

        Raises UserError where several sub-folders hold an image of that name.
        """
        for key in keys:
            names = self._by_key.get(key, [])
            # A path that is spelt out in full wins over the same name in other folders.
            exact = [name for name in names if name == key or str(PurePosixPath(name).with_suffix("")) == key]
            names = exact or names
            if len(names) > 1:
                one, other = (self.folder / name for name in names[:2])
                raise UserError(
                    f"{one} and {other} are both called {key!r}, so that a label may belong to either; "
                    "rename one"
                )
            if names:
                return names[0]
        return None


def visible(paths: Iterable[Path]) -> list[Path]:
    """Returns those of ``paths`` that are files, sorted.

    Hidden files are left out, such as the ._NAME that macOS puts beside others, and so is what only has the
    name of a label file: a folder, or a pipe, on which reading would wait for ever.
    """
    # A broken link is kept, so that reading says what is missing instead of leaving its labels out.
    return sorted(
        path
        for path in paths
        if not path.name.startswith(".") and (os.path.isfile(path) or not os.path.exists(path))
    )


def missing(message: str, skip: bool, notes: Counter[str]) -> None:
    """Deals with an image that is named but missing.

    It is counted where the caller chose to ``skip`` such images; otherwise UserError is raised.
    """
    if not skip:
        raise UserError(f"{message}; add the image, or leave such images out with --missing skip")
    notes[MISSING] += 1


@contextlib.contextmanager
def unneeded(split: str, lines: list[str]) -> Iterator[None]:
    """Keeps a flaw of the test split, which training does not need, from stopping a conversion.

    The flaw goes to ``lines`` instead. Those of other splits are raised.
    """
    try:
        yield
    except UserError as error:
        if split != "test":
            raise
        lines.append(f"the split 'test' is left out: {error}")


def inner_name(file: Path, *folders: Path) -> str:
    """Returns the name of an image below the first of ``folders`` that holds it, else its own name.

    It is written with ``/``.
    """
    return next((name for name in (below(file, folder) for folder in folders) if name), file.name)


def below(file: Path, folder: Path) -> str | None:
    """Returns the path of ``file`` as seen from ``folder``, with ``/``; None where it is not below it.

    New data sets are written by such names, so that none may lead out of their folder.
    """
    try:
        name = file.relative_to(folder).as_posix()
    except ValueError:
        return None
    return None if os.pardir in name.split("/") else name


def choose_classes(data: DataSet, chosen: Sequence[str] | None) -> DataSet:
    """Restricts ``data`` to the ``chosen`` classes in their order, and counts the boxes that are left out."""
    if chosen is None:
        return data
    for name in chosen:
        if name not in data.classes:
            raise unknown("class", name, data.classes)
    names = check_names(chosen, "--classes")
    place = {data.classes.index(name): index for index, name in enumerate(names)}

    def restrict(picture: Picture) -> Picture:
        boxes: list[Box] = [
            box._replace(label=place[box.label]) for box in picture.boxes if box.label in place
        ]
        data.notes[OTHER_CLASS] += len(picture.boxes) - len(boxes)
        lost = tuple((place[label], why) for label, why in picture.lost if label in place)
        return picture._replace(boxes=boxes, lost=lost)

    splits = {split: [restrict(picture) for picture in rows] for split, rows in data.splits.items()}
    return DataSet(names, splits, data.notes, data.lines)
