"""Writes files that appear under their names complete, or not at all."""

from __future__ import annotations

import contextlib
import csv
import errno
import glob
import io
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from .errors import UserError
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


def unwritable(path: Path | str, error: BaseException | None, advice: str = "") -> UserError:
    """Returns the error that says why ``path`` cannot be written, and what to do."""
    reason = getattr(error, "strerror", None) or error
    return UserError(f"{path}: cannot be written: {reason}" + (f"; {advice}" if advice else ""))


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path that becomes ``path`` when the block ends well, and is deleted otherwise.

    Raises UserError when the disk is full or the folder cannot be written; what was at ``path`` stays.
    """
    temporary = beside(path, "tmp")
    remove_abandoned_of(path, "tmp")
    try:
        with held(temporary):
            yield temporary
            sync_file(temporary)
            os.replace(temporary, path)
        # Without this a crash of the machine could undo the renaming.
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


def absolute(path: str | Path) -> Path:
    """Returns ``path`` as seen from any folder; symbolic links stay, unless there is a ``..`` in it."""
    whole = Path(path).expanduser()
    # What ".." means after a symbolic link is known only to the file system.
    return whole.resolve() if os.pardir in whole.parts else whole.absolute()


def make_folder(folder: Path) -> None:
    """Makes ``folder`` unless it is there. Raises UserError when it cannot be written into."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise unwritable(folder, error, "choose another --output") from None


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Returns rows as CSV, with quotes where a cell holds a comma, a quote or a line break."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


@contextlib.contextmanager
def new_text_file(path: Path) -> Iterator[IO[str]]:
    """Opens a text file (UTF-8, Unix line ends) for `atomic_write`, and makes its folder if need be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error, UNTOUCHED) from None
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as stream:
        yield stream


def remove_leftovers(folder: Path) -> None:
    """Deletes what killed writers of files left in ``folder``, which need not exist."""
    for path in folder.glob(".*.tmp"):
        remove_abandoned(path)


def beside(path: Path, suffix: str) -> Path:
    """Returns a hidden name in the folder of ``path``, since only there a renaming is atomic."""
    # Not only the number of the process: in two containers it may be the same.
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.{suffix}")


def remove_abandoned_of(path: Path, suffix: str) -> None:
    """Deletes the temporary files or folders that processes which were killed have left of ``path``."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.{suffix}"):
        # Only what has the number of a process there is surely from here; older versions wrote it alone.
        if re.fullmatch(r"\d+(-[0-9a-f]{8})?", left.name.split(".")[-2]):
            remove_abandoned(left)


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
