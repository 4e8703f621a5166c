"""Writes files that appear under their names complete, or not at all."""

from __future__ import annotations

import contextlib
import csv
import errno
import functools
import io
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from .errors import UserError, nearest
from .locks import held, remove_abandoned

UNTOUCHED = "what was there before is untouched"
# The suffixes that count as an image where a folder is searched. `image_suffixes` adds those that not every
# machine can decode.
IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".jp2", ".gif")
    + (".ppm", ".pgm", ".pbm")
)


def folded_name(name: str) -> str:
    """Returns a file's name in the form in which macOS and Windows compare it.

    There A.jpg would overwrite a.jpg.
    """
    return unicodedata.normalize("NFC", name.casefold())


class Unwritable(UserError):
    """A place that cannot be written, and the ``reason``."""

    reason: object = None


def unwritable(path: Path | str, error: BaseException | None, advice: str = "") -> Unwritable:
    """Returns the error that says why ``path`` cannot be written, and what to do."""
    reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
    if isinstance(error, FileExistsError):
        # What Python raises where a file is in the place of a folder.
        reason = os.strerror(errno.ENOTDIR)
    problem = Unwritable(f"{path}: cannot be written: {reason}" + (f"; {advice}" if advice else ""))
    problem.reason = reason
    return problem


@contextlib.contextmanager
def writing(path: Path | str, advice: str = "") -> Iterator[None]:
    """Raises UserError, see `unwritable`, for what the system refuses inside the block."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error, advice) from None


@contextlib.contextmanager
def atomic_write(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path that becomes ``path`` when the block ends well, and is deleted otherwise.

    ``durable``: waits until the file is on the disk, so that a crash of the machine does not undo it; of many
    files that can be made again, that takes too long. Raises UserError when the disk is full or the folder
    cannot be written; what was at ``path`` stays.
    """
    if os.path.isdir(path):
        raise unwritable(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    temporary = beside(path, "tmp")
    try:
        with held(temporary):
            yield temporary
            if durable:
                sync_file(temporary)
            os.replace(temporary, path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error, UNTOUCHED) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def refuse_device(path: Path | str | os.PathLike[str]) -> None:
    """Raises OSError for a pipe or device, also behind a link, whose content may never come or never end."""
    kind = os.stat(path).st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise OSError(errno.EINVAL, "is a pipe or device, not a file")


def similar(path: Path) -> str:
    """Returns "; did you mean ...?" for a path that is not there but differs little from one that is.

    Empty where there is none. The first folder of the path that is missing is the one that is looked for.
    """
    first = path
    while not first.parent.is_dir() and first.parent != first:
        first = first.parent
    with contextlib.suppress(OSError):
        # Names of files share their suffix, so that they are all somewhat similar.
        names = nearest(first.name, os.listdir(first.parent), least=0.65)
        places = [first.with_name(name) / path.relative_to(first) for name in names]
        found = [str(place) for place in places if place.exists()]
        if found and not first.exists():
            return f"; did you mean {', '.join(found)}?"
    return ""


def as_path(path: str | os.PathLike[str]) -> Path:
    """Returns a Path in which a leading ``~`` or ``~name`` is the home folder, where there is such a one.

    `Path.expanduser` raises an error where there is none, but the name of a file, too, may begin so.
    """
    return Path(os.path.expanduser(path))


def is_text(value: str) -> bool:
    """Returns whether a string can be written.

    JSON may hold halves of characters (surrogates), and names of files may have bytes that are not UTF-8.
    """
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def as_utf8(path: Path, reader: str) -> str:
    """Returns a path as text for ``reader``, a library that takes UTF-8 alone and may crash on anything else.

    Raises UserError for a path with bytes that are not UTF-8, as old archives and cameras have them.
    """
    if not is_text(str(path)):
        raise UserError(f"{path}: {reader} takes no name that is not UTF-8; rename it")
    return str(path)


def absolute(path: str | Path) -> Path:
    """Returns ``path`` as seen from any folder; symbolic links stay, unless there is a ``..`` in it."""
    whole = as_path(path)
    # What ".." means after a symbolic link is known only to the file system.
    return whole.resolve() if os.pardir in whole.parts else whole.absolute()


def make_folder(folder: Path) -> None:
    """Makes ``folder`` unless it is there. Raises UserError when it cannot be written into."""
    with writing(folder, "choose another --output"):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Returns rows as CSV, with quotes where a cell holds a comma, a quote or a line break."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def _text_file(path: Path) -> IO[str]:
    # The name of a file may hold bytes that are no text.
    return open(path, "w", encoding="utf-8", errors="backslashreplace", newline="\n")


@contextlib.contextmanager
def new_text_file(path: Path) -> Iterator[IO[str]]:
    """Opens a text file (UTF-8, Unix line ends) for `atomic_write`, and makes its folder if need be."""
    with writing(path, UNTOUCHED):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, _text_file(temporary) as stream:
        yield stream


def beside(path: Path, suffix: str) -> Path:
    """Returns a new hidden name in the folder of ``path``, since only there a renaming is atomic.

    What killed writers left in that folder is deleted before the first.
    """
    _tidied(absolute(path.parent))
    # Not the number of the process: in two containers it may be the same.
    return path.with_name(f".{path.name}.{secrets.token_hex(5)}.{suffix}")


# Once in a process, because a folder may hold a million files.
@functools.lru_cache(maxsize=1024)
def _tidied(folder: Path) -> None:
    remove_leftovers(folder)


def remove_leftovers(folder: Path) -> None:
    """Deletes what killed writers of files and folders left in ``folder``, which need not exist."""
    for path in folder.glob(".*.*"):
        if re.fullmatch(r"\..+\.[0-9a-f]{10}\.(tmp|partial)", path.name):
            remove_abandoned(path)


def sync_file(path: Path) -> None:
    """Puts the content of a file on disk."""
    with open(path, "rb+") as file:  # Windows puts only what is open for writing on disk
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Puts a renaming on disk. Systems that cannot open a folder do without."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
