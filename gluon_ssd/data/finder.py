"""Finds images by the names that labels give them, which are not always spelt as the files are.

Tools write backslashes, percent-encoding, another Unicode normal form, absolute paths of another machine, or
a prefix of their own in front of the name.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from ..errors import UserError
from .images import is_image_name

# Label Studio puts eight hexadecimal digits in front of the name of an uploaded file. Years and dates look
# like them: 2019-1.jpg and 2020-1.jpg are two images.
_PREFIX = re.compile(r"^[0-9a-f]{4,8}-(?=.)")


Parts = tuple[str, ...]
_Value = TypeVar("_Value")


class Finder:
    """Finds images in ``folders`` as they are spelt, or by another spelling anywhere below ``root``.

    `find` raises UserError where several images could be meant.
    """

    def __init__(self, folders: Iterable[Path], root: Path) -> None:
        self._folders, self._root = list(folders), root
        self._listings: dict[str, frozenset[str]] = {}
        self._indices: dict[bool, dict[Parts, list[Parts]]] = {}

    def exact(self, name: str) -> Path | None:
        """Returns the file that is spelt exactly like this; None if there is none."""
        for folder in self._folders:
            # Joined before it is split, since a name that begins with "/" leads away from the folder.
            place, leaf = os.path.split(os.path.join(folder, name))
            # Folders are listed once: asking for each image by itself would take minutes on a network disk.
            if leaf in self._names(place):
                return folder / name
        return None

    def find(self, name: str) -> tuple[Path, bool] | None:
        """Returns the file and whether it is spelt differently; None where there is none."""
        path = self.exact(name)
        if path is not None:
            return path, False
        parts = plain_parts(name)
        if not parts:
            return None
        # A name without a suffix is that of an image with any.
        index = self._by_end(bare=not is_image_name(parts[-1]))
        for leaf in spellings(parts[-1]):
            path = self._best(longest_end(index, (*parts[:-1], leaf)), name)
            if path is not None:
                return path, True
        return None

    def _best(self, best: list[Parts], name: str) -> Path | None:
        """The one file below ``root`` that is meant of those that agree best with a name; None of none."""
        # Of several that agree equally, one that lies in the folders of the images is meant.
        preferred = [c for c in best if any(self._root.joinpath(*c[:-1]) == f for f in self._folders)]
        if len(preferred) == 1:
            best = preferred
        if len(best) > 1:
            one, other = ("/".join(candidate) for candidate in best[:2])
            raise UserError(
                f"{self._root}: {one} and {other} could both be the image that labels call {name!r}; "
                "rename one"
            )
        return self._root.joinpath(*best[0]) if best else None

    def _by_end(self, bare: bool) -> dict[Parts, list[Parts]]:
        """All images below ``root`` by the plain forms of their paths' ends, ``bare`` without their suffixes.

        The walk is done when it is first needed.
        """
        if bare not in self._indices:
            index = self._indices[bare] = {}
            for path in walk_images(self._root):
                *folders, leaf = plain_parts(path)
                for form in forms(os.path.splitext(leaf)[0] if bare else leaf):
                    add_ends(index, (*folders, form), tuple(path.split("/")))
        return self._indices[bare]

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self._listings:
            try:
                with os.scandir(folder) as entries:
                    self._listings[folder] = frozenset(e.name for e in entries if e.is_file())
            except (OSError, ValueError):
                self._listings[folder] = frozenset()
        return self._listings[folder]


def walk_images(folder: Path) -> list[str]:
    """Returns the images below ``folder``, with ``/``, in the order of the walk. Links are followed."""
    found = []
    above: dict[str, frozenset[tuple[int, int]]] = {}
    for root, folders, files in os.walk(folder, followlinks=True):
        about, over = os.stat(root), above.get(os.path.dirname(root), frozenset())
        if (about.st_dev, about.st_ino) in over:
            # A link back to a folder around it would be walked for ever.
            folders.clear()
            continue
        above[root] = over | {(about.st_dev, about.st_ino)}
        folders.sort()
        prefix = Path(root).relative_to(folder).as_posix()
        names = filter(is_image_name, files)
        found += list(names) if prefix == "." else [f"{prefix}/{name}" for name in names]
    return found


def plain_leaf(name: str) -> str:
    """Returns the name of a file in the form that all its spellings share."""
    return (plain_parts(name) or ("",))[-1]


def forms(leaf: str) -> list[str]:
    """Returns the keys under which a file of this plain name is found; see `spellings`."""
    bare = _PREFIX.sub("", leaf)
    return [leaf] if bare == leaf else [leaf, f"/{bare}"]


def spellings(leaf: str) -> list[str]:
    """Returns the keys of `forms` of the files that may be meant by this plain name, the likeliest first.

    A file is meant whose name is the same, or differs by a tool's prefix in front of one of the two.
    """
    # A prefix is taken off only where the full name is not found, because a file may really be named so.
    return list(dict.fromkeys((leaf, _PREFIX.sub("", leaf), f"/{leaf}")))


def plain_parts(name: str) -> Parts:
    """Returns the parts of a path in the form that all its spellings share."""
    text = unicodedata.normalize("NFC", unquote(name)).replace("\\", "/").casefold()
    return tuple(part for part in text.split("/") if part not in ("", ".", ".."))


def add_ends(index: dict[Parts, list[_Value]], parts: Parts, value: _Value) -> None:
    """Adds the ``value`` of a path to ``index`` under every end of the path, from the whole to the name."""
    for start in range(len(parts)):
        index.setdefault(parts[start:], []).append(value)


def longest_end(index: Mapping[Parts, list[_Value]], parts: Parts) -> list[_Value]:
    """Returns the values of the paths that agree with ``parts`` the furthest, from the name on."""
    ends = (parts[start:] for start in range(len(parts)))
    return next((index[end] for end in ends if end in index), [])
