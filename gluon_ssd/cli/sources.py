"""The images, videos and cameras that a user names on the command line, and what is left out of folders."""

from __future__ import annotations

import glob
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError, one_line
from ..files import as_path, folded_name, make_folder, similar


class Sources(NamedTuple):
    """Image files, sentences about what is left out or fetched, and video files or camera numbers.

    ``fetched`` are the files among them that come from a URL, and ``failed`` is the number of URLs of which
    none came.
    """

    paths: list[Path]
    lines: list[str]
    videos: list[Path | int]
    fetched: frozenset[Path] = frozenset()
    failed: int = 0

    def moved(self, folder: Path) -> Sources:
        """Moves the fetched files into ``folder``, and returns the sources with them there."""
        places: dict[Path | int, Path] = {path: folder / path.name for path in self.fetched}
        if places:
            make_folder(folder)
        for path, place in places.items():
            shutil.move(str(path), str(place))
        paths = [places.get(path, path) for path in self.paths]
        videos = [places.get(video, video) for video in self.videos]
        return self._replace(paths=paths, videos=videos, fetched=frozenset(places.values()))


def expand_sources(sources: Sequence[str], fetch_into: Path | None = None) -> Sources:
    """Returns what files, folders (searched through), globs, cameras and URLs name, each once, in order.

    ``-`` stands for a list of them on standard input, one a line. A file that is named itself is taken for an
    image unless it has the suffix of a video. What URLs name is fetched into a folder, and what cannot be
    had is reported. Raises UserError when another source matches nothing, and for URLs without a folder.
    """
    from ..data.urls import is_url
    from ..data.video import is_video_name

    listed = list(_listed(sources))
    places = _places([source for source in listed if is_url(source)], fetch_into)
    # A dict keeps the order and takes each file once, also where two sources name it.
    paths: dict[Path | int, None] = {}
    lines: list[str] = []
    for source in listed:
        camera = re.fullmatch(r"camera(?::(\d+))?", source)
        if source in places:
            paths[places[source]] = None
        elif camera:
            paths[int(camera[1] or 0)] = None
        else:
            paths.update(dict.fromkeys(_matches(source, lines)))
    # Last, so that nothing is fetched where another source is a mistake.
    absent = {path for url, path in places.items() if not _fetch(url, path, lines)}
    there = [path for path in paths if path not in absent]
    videos = [path for path in there if isinstance(path, int) or is_video_name(path.name)]
    images = [path for path in there if isinstance(path, Path) and path not in videos]
    return Sources(images, lines, videos, frozenset(places.values()) - absent, len(absent))


def _matches(source: str, lines: list[str]) -> list[Path]:
    """Returns the files that a path or glob names; ``lines`` are told what of a folder is left out."""
    from ..data.images import image_suffixes

    path = as_path(source)
    if path.is_dir():
        inside = [file for file in path.rglob("*") if file.is_file()]
        found = _images(inside)
        missing = f"no image or video in this folder ({', '.join(sorted(image_suffixes()))})"
        lines += _left_out(source, [file for file in inside if not _images([file])])
    elif path.exists():
        # Before the name is taken for a glob: a file's own name may hold brackets.
        found, missing = [path], ""
    else:
        found = _images(Path(match) for match in glob.glob(str(path), recursive=True))
        absent = f"no such file or folder{similar(path)}"
        missing = "no image or video matches" if glob.has_magic(source) else absent
    if not found:
        raise UserError(f"{source}: {missing}")
    return found


def _places(urls: Sequence[str], folder: Path | None) -> dict[str, Path]:
    """Returns the file that each URL is to be fetched into.

    Raises UserError without a folder, and for a URL that is never fetched.
    """
    from ..data.urls import check_url, file_name

    taken: set[str] = set()
    places = {}
    for url in dict.fromkeys(urls):
        if folder is None:
            raise UserError(f"{url}: is a URL, which only predict --allow-url fetches")
        check_url(url)
        name = Path(file_name(url))
        places[url] = folder / _free(name.stem, name.suffix, taken)
    return places


def _fetch(url: str, path: Path, lines: list[str]) -> bool:
    """Fetches a file, and returns whether it came; a reason why not is printed."""
    from ..data.urls import fetch_url

    try:
        fetch_url(url, path)
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return False
    lines.append(f"{url}: fetched as {path.name}")
    return True


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
    """Returns the sentence on how many files of a folder are not looked at, by the reason, if any."""
    if not files:
        return []
    kinds = ("hidden" if file.name.startswith(".") else file.suffix.lower() or "no suffix" for file in files)
    counts = Counter(kinds)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    parts = ", ".join(f"{count} {kind}" for kind, count in ordered)
    heic = "; .heic needs: pip install pillow-heif" if {".heic", ".heif"} & set(counts) else ""
    return [
        f"{source}: {len(files)} files left out, which are no images that can be decoded "
        f"({parts}{heic})"
    ]


def result_names(images: Sequence[Path], videos: Sequence[Path] = ()) -> list[str]:
    """Returns a name without suffix for the results of each image, and then of each video.

    One that comes twice gets a number.
    """
    taken: set[str] = set()
    names = [_free(path.stem, "", taken) for path in images]
    # The results of a frame are called as its video and _000123, which may be the name of an image.
    taken |= {frame[1] for name in taken if (frame := re.fullmatch(r"(.*)_\d{6,}", name))}
    return names + [_free(path.stem, "", taken) for path in videos]


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
