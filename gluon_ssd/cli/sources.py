"""The images, videos and cameras that a user names on the command line, and what is left out of folders."""

from __future__ import annotations

import glob
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from ..files import folded_name


class Sources(NamedTuple):
    """Image files, sentences about files that are left out of folders, and video files or camera numbers."""

    paths: list[Path]
    lines: list[str]
    videos: list[Path | int]


def expand_sources(sources: Sequence[str]) -> Sources:
    """Returns what files, folders (searched through), globs and cameras name, each once, in order.

    ``-`` stands for a list of them on standard input, one a line. A file that is named itself is taken for an
    image unless it has the suffix of a video. Raises UserError when a source matches nothing.
    """
    from ..data.images import image_suffixes
    from ..data.video import is_video_name

    paths: dict[Path | int, None] = {}
    lines = []
    for source in _listed(sources):
        camera = re.fullmatch(r"camera(?::(\d+))?", source)
        if camera:
            paths[int(camera[1] or 0)] = None
            continue
        path = Path(source).expanduser()
        if path.is_dir():
            inside = [file for file in path.rglob("*") if file.is_file()]
            found: Iterable[Path] = _images(inside)
            missing = f"no image or video in this folder ({', '.join(sorted(image_suffixes()))})"
            lines += _left_out(source, [file for file in inside if not _images([file])])
        elif path.exists():
            # Before the name is taken for a glob: a file's own name may hold brackets.
            found, missing = [path], ""
        else:
            found = _images(Path(match) for match in glob.glob(str(path), recursive=True))
            missing = "no image or video matches" if glob.has_magic(source) else "no such file or folder"
        # A dict keeps the order and takes each file once, also where two sources name it.
        matches: dict[Path | int, None] = dict.fromkeys(found)
        if not matches:
            raise UserError(f"{source}: {missing}")
        paths.update(matches)
    videos = [path for path in paths if isinstance(path, int) or is_video_name(path.name)]
    return Sources([path for path in paths if isinstance(path, Path) and path not in videos], lines, videos)


def _listed(sources: Sequence[str]) -> Iterator[str]:
    """Yields the sources, and for ``-`` those that standard input names."""
    for source in sources:
        if source != "-":
            yield source
            continue
        listed = [line.rstrip("\r\n") for line in sys.stdin if line.strip()]
        if not listed:
            raise UserError("-: standard input names no image; give one path on each line")
        yield from listed


def _images(paths: Iterable[Path]) -> list[Path]:
    """Returns the images and videos among files, sorted."""
    from ..data.images import is_image_name
    from ..data.video import is_video_name

    taken = (path for path in paths if is_image_name(path.name) or is_video_name(path.name))
    return sorted(path for path in taken if path.is_file())


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


def result_names(paths: Sequence[Path]) -> list[str]:
    """Returns a name without suffix for the results of each path; one that comes twice gets a number."""
    taken: set[str] = set()
    return [_free(path.stem, "", taken) for path in paths]


def _free(stem: str, suffix: str, taken: set[str]) -> str:
    """Returns a name that is not ``taken`` in any spelling of its letters, and takes it."""
    name, count = stem + suffix, 1
    while folded_name(name) in taken:
        count += 1
        name = f"{stem}-{count}{suffix}"
    taken.add(folded_name(name))
    return name


def output_names(paths: Sequence[Path]) -> list[str]:
    """Returns a file name for each annotated image, with a suffix that can be written.

    A name that comes twice gets a number, whatever its case (see `folded_name`).
    """
    taken: set[str] = set()
    suffixes = (path.suffix if path.suffix.lower() in _WRITTEN else ".png" for path in paths)
    return [_free(path.stem, suffix, taken) for path, suffix in zip(paths, suffixes)]


_WRITTEN = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
