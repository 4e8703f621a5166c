"""Where the images of a converted data set are: left in place, linked or copied."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Callable

from ...errors import UserError
from ...files import folded_name
from .model import DataSet, Picture

RENAMED = "images renamed, since several have one name"


class Placer:
    """Puts images beside their labels as ``mode`` says. ``partial`` is the folder that becomes ``final``.

    ``on_image`` is called with 1 after each image.
    """

    def __init__(
        self, mode: str, partial: Path, final: Path, on_image: Callable[[int], None] = lambda count: None
    ) -> None:
        self.mode, self.partial, self._final = mode, partial, Path(os.path.realpath(final))
        self._on_image = on_image
        self._parents: dict[Path, str] = {}

    def put(self, picture: Picture, inner: str) -> None:
        """Links or copies the image to ``inner`` under the new folder; with mode none nothing is done."""
        if self.mode != "none":
            self._put(picture, inner)
        self._on_image(1)

    def _put(self, picture: Picture, inner: str) -> None:
        target = self.partial / inner
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.mode == "link":
            # An absolute link, because the folder is still to be moved to its final place.
            target.symlink_to(self._real(picture.file))
        else:
            shutil.copyfile(picture.file, target)

    def reference(self, picture: Picture, folder: str) -> str:
        """Returns the image's path as seen from ``folder`` in the final place, with ``/``."""
        return Path(os.path.relpath(self._real(picture.file), self._final / folder)).as_posix()

    def _real(self, file: Path) -> str:
        """The absolute path. Links are resolved in its folder but not in the file, whose name has the
        suffix.
        """
        # Resolving is slow on a network disk, and thousands of images share a folder.
        if file.parent not in self._parents:
            self._parents[file.parent] = os.path.realpath(file.parent)
        return os.path.join(self._parents[file.parent], file.name)


def flat_names(data: DataSet, shared: bool) -> dict[tuple[str, str], str]:
    """Returns a stem for each (split, image name), for formats that keep images in one folder.

    It is the image's own stem where all of these are unique, whatever their case, among all splits
    (``shared``) or within each. Otherwise split and sub-folders stand in front of it, for all images alike.
    Raises UserError where that is not unique either.
    """

    def plain(split: str, path: PurePosixPath) -> str:
        return path.stem

    def full(split: str, path: PurePosixPath) -> str:
        return "_".join((*((split,) if shared else ()), *path.parent.parts, path.stem))

    # The error only says that plain stems are not unique.
    with contextlib.suppress(UserError):
        return _named(data, plain, shared, folded_name)
    # Images of one folder whose names differ in case alone come from a disk that tells them apart.
    return _named(data, full, shared, str)


def label_clash(first: Path, second: Path) -> UserError:
    """Returns the error for two images whose labels would have one name; the caller raises it."""
    return UserError(
        f"{first} and {second}: these differ only in the suffix, but labels go by the rest; rename one"
    )


def _named(
    data: DataSet, rule: Callable[[str, PurePosixPath], str], shared: bool, form: Callable[[str], str]
) -> dict[tuple[str, str], str]:
    """The stems by ``rule``. Raises UserError where two images would share one, compared by ``form``."""
    names = {}
    taken: dict[tuple[str, str], Path] = {}
    for split, pictures in data.splits.items():
        for picture in pictures:
            stem = rule(split, PurePosixPath(picture.name))
            key = ("" if shared else split, form(stem))
            if key in taken:
                raise label_clash(taken[key], picture.file)
            taken[key] = picture.file
            names[split, picture.name] = stem
    return names


def fraction(value: float) -> str:
    """Returns a fraction with ten decimals: a millionth of a pixel in an image of ten thousand."""
    return f"{value:.10f}".rstrip("0").rstrip(".")


def write_lines(path: Path, lines: list[str]) -> None:
    """Writes a text file of lines."""
    with new_text(path) as stream:
        stream.writelines(f"{line}\n" for line in lines)


@contextlib.contextmanager
def new_text(path: Path) -> Iterator[IO[str]]:
    """Opens a new text file (UTF-8, Unix line ends).

    It is not written to a temporary name, because the folder around it is published whole or not at all.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        yield stream
