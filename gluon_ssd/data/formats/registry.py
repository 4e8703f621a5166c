"""The formats of data sets. Each registers itself, says how sure it is of a folder, reads and writes."""

from __future__ import annotations

import importlib
import os
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ...errors import UserError, unknown
from ..finder import walk_images
from ..images import is_image_name
from .model import DataSet, Options

if TYPE_CHECKING:
    from .placing import Placer

# How sure a format is that a folder holds it: SURE by a file that only this format has, LIKELY by labels in
# their usual place, POSSIBLE by labels anywhere.
SURE, LIKELY, POSSIBLE, NO = 3, 2, 1, 0
_BUILT_IN = ("coco", "voc", "yolo", "darknet", "openimages", "labelme", "tf_csv", "via")
# So many files are enough to say what a folder holds.
_MOST = 20000
# In so many folders of a folder labels are looked for.
_FOLDERS = 50


class Format:
    """One format of data sets. Subclass it and decorate the class with `register_format`.

    ``name`` is what ``--from`` and ``--to`` call it, ``labels`` are the suffixes of its label files, and
    ``layout`` says what it looks like, in a few words. ``reading`` is how the four numbers of its boxes are
    read (see `units.READINGS`), None where nothing else could be meant. ``first_pixel`` is the number of the
    first pixel.
    """

    name: str
    labels: tuple[str, ...] = ()
    layout: str = ""
    reading: str | None = None
    first_pixel: int = 0

    def detect(self, root: Path) -> int:
        """Returns how sure it is that a folder or file holds this format: SURE, LIKELY, POSSIBLE or NO."""
        raise NotImplementedError

    def origin(self, options: Options) -> int:
        """Returns the number of the first pixel: the caller's, else that of the format."""
        return self.first_pixel if options.origin is None else options.origin

    def read(self, root: Path, options: Options) -> DataSet:
        """Reads a data set. Raises UserError, one line that names file and field, for anything unsound."""
        raise NotImplementedError

    def write(self, data: DataSet, place: Placer, options: Options) -> None:
        """Writes a data set into ``place.partial``; what is lost goes to ``data.notes``."""
        raise UserError(f"{self.name}: can be read, but is not written; choose another --to")


_FORMATS: dict[str, Format] = {}
_Class = TypeVar("_Class", bound=type[Format])


def register_format(cls: _Class) -> _Class:
    """Makes a format known by its ``name``. Raises ValueError where another has this name."""
    # A module that is imported again registers its own class again, which is no conflict.
    if cls.name in _FORMATS and type(_FORMATS[cls.name]).__qualname__ != cls.__qualname__:
        raise ValueError(f"a format {cls.name!r} is registered already")
    _FORMATS[cls.name] = cls()
    return cls


def list_formats() -> list[str]:
    """Returns the names of all formats, those that come with the library first."""
    for module in _BUILT_IN:
        importlib.import_module(f"{__package__}.{module}")
    return sorted(
        _FORMATS, key=lambda name: (name not in _BUILT_IN, _BUILT_IN.index(name) if name in _BUILT_IN else 0)
    )


def get_format(name: str) -> Format:
    """Returns a format by its name. Raises UserError, with the nearest names, for an unknown one."""
    known = list_formats()
    if name not in known:
        raise unknown("format", name, known)
    return _FORMATS[name]


class NoLabels(UserError):
    """No format is found in a folder."""


def find_labels(root: Path) -> tuple[Path, str]:
    """Returns the folder with the labels, and the name of their format.

    That is ``root``, or else the one folder in it, at most two folders down, that has labels and images:
    archives are often unpacked into a folder of their own. Raises UserError where none or several could be
    meant.
    """
    try:
        return root, detect_format(root)
    except NoLabels:
        for depth in ("*", "*/*"):
            inner = [path for path in sorted(root.glob(depth)) if path.is_dir()][:_FOLDERS]
            found = [path for path in inner if _ranks(path)[1] and walk_images(path)]
            if len(found) > 1:
                names = ", ".join(map(str, found[:3]))
                text = f"{root}: holds several data sets ({names}); give the folder of one"
                raise UserError(text) from None
            if found:
                return found[0], detect_format(found[0])
        raise


def detect_format(root: Path) -> str:
    """Returns the name of the format that is surest of a data set.

    Raises UserError where none or several are.
    """
    fitting, best = _ranks(root)
    if best == NO:
        raise NoLabels(_nothing_found(root))
    if len(fitting) > 1:
        raise UserError(f"{root}: holds labels of {' and '.join(fitting)}; choose with --from")
    return fitting[0]


def _ranks(root: Path) -> tuple[list[str], int]:
    """The formats that are surest of a folder, and how sure they are."""
    ranks = {name: _FORMATS[name].detect(root) for name in list_formats()}
    best = max(ranks.values())
    return [name for name, rank in ranks.items() if rank == best], best


def _nothing_found(root: Path) -> str:
    """The sentence for a folder in which no format was found: what it holds, and which format is nearest."""
    counts = _inventory(root)
    held = ", ".join(f"{count} {what}" for what, count in counts.most_common(5)) or "nothing"
    near = max(
        list_formats(), key=lambda name: sum(counts[f"{suffix} files"] for suffix in _FORMATS[name].labels)
    )
    if not any(counts[f"{suffix} files"] for suffix in _FORMATS[near].labels):
        return f"{root}: no labels found; it holds {held}; check the folder, or say --from"
    return (
        f"{root}: no labels found in a layout that is known; it holds {held}; the nearest format is {near} "
        f"({_FORMATS[near].layout}), try: gluon-ssd convert-data {shlex.quote(str(root))} NEW "
        f"--from {near}"
    )


def _inventory(root: Path) -> Counter[str]:
    """How many images, and how many files of each other suffix, there are."""
    counts: Counter[str] = Counter()
    names = [root.name] if root.is_file() else (n for _, _, names in os.walk(root) for n in names)
    for number, name in enumerate(names):
        if number == _MOST:
            break
        suffix = os.path.splitext(name)[1].lower()
        counts["images" if is_image_name(name) else f"{suffix or 'other'} files"] += 1
    return counts
