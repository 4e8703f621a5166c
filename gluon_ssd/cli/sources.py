"""The images that a user names on the command line, and what is left out of folders."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from ..files import folded_name


class Sources(NamedTuple):
    """Image files, and sentences about files in folders that are not images."""

    paths: list[Path]
    lines: list[str]


def expand_sources(sources: Sequence[str]) -> Sources:
    """Returns the image files that files, folders (searched through) and globs name, each once, in order.

    A file that is named itself is taken whatever its suffix. Raises UserError when a source matches nothing.
    """
    from ..data.images import image_suffixes

    paths: dict[Path, None] = {}
    lines = []
    for source in sources:
        path = Path(source).expanduser()
        if path.is_dir():
            inside = [file for file in path.rglob("*") if file.is_file()]
            found: Iterable[Path] = _images(inside)
            missing = f"no image in this folder ({', '.join(sorted(image_suffixes()))})"
            lines += _left_out(source, [file for file in inside if not _images([file])])
        elif path.exists():
            # Before the name is taken for a glob: a file's own name may hold brackets.
            found, missing = [path], ""
        else:
            found = _images(Path(match) for match in glob.glob(str(path), recursive=True))
            missing = "no image matches" if glob.has_magic(source) else "no such file or folder"
        # A dict keeps the order and takes each file once, also where two sources name it.
        matches = dict.fromkeys(found)
        if not matches:
            raise UserError(f"{source}: {missing}")
        paths.update(matches)
    return Sources(list(paths), lines)


def _images(paths: Iterable[Path]) -> list[Path]:
    from ..data.images import is_image_name

    return sorted(path for path in paths if is_image_name(path.name) and path.is_file())


def _left_out(source: str, files: Sequence[Path]) -> list[str]:
    """How many files of a folder are not looked at, by the reason."""
    if not files:
        return []
    hidden = sum(file.name.startswith(".") for file in files)
    counts = Counter(file.suffix.lower() or "no suffix" for file in files if not file.name.startswith("."))
    parts = [f"{count} {suffix}" for suffix, count in counts.most_common()] + [f"{hidden} hidden"] * bool(
        hidden
    )
    heic = "; .heic needs: pip install pillow-heif" if {".heic", ".heif"} & set(counts) else ""
    return [
        f"{source}: {len(files)} files left out, which are no images that can be decoded "
        f"({', '.join(parts)}{heic})"
    ]


def output_names(paths: Sequence[Path]) -> list[str]:
    """Returns a file name for each annotated image, with a suffix that can be written.

    A name that comes twice gets a number, whatever its case (see `folded_name`).
    """
    taken: set[str] = set()
    names = []
    for path in paths:
        suffix = path.suffix if path.suffix.lower() in _WRITTEN else ".png"
        name, count = path.stem + suffix, 1
        while folded_name(name) in taken:
            count += 1
            name = f"{path.stem}-{count}{suffix}"
        taken.add(folded_name(name))
        names.append(name)
    return names


_WRITTEN = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
