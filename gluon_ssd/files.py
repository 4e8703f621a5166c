"""Writes files and folders that appear under their names complete, or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from .errors import UserError, nearest
from .locks import held, remove_abandoned

_UNTOUCHED = "what was there before is untouched"
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
    # In the same folder, because only within one file system a renaming is atomic. The number of the process
    # keeps two writers apart.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove_abandoned(path, "tmp")
    try:
        with held(temporary):
            yield temporary
            _sync_file(temporary)
            os.replace(temporary, path)
        # Without this a crash of the machine could undo the renaming.
        _sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error, _UNTOUCHED) from None
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


@contextlib.contextmanager
def new_text_file(path: Path) -> Iterator[IO[str]]:
    """Opens a text file (UTF-8, Unix line ends) for `atomic_write`, and makes its folder if need be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error, _UNTOUCHED) from None
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as stream:
        yield stream


@contextlib.contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Yields a hidden folder beside ``path``, in which that can be made; it is deleted in the end."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    _remove_abandoned(path, "partial")
    try:
        with held(partial, folder=True):
            yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def files_together(paths: Sequence[Path]) -> Iterator[Path]:
    """Yields a temporary folder; its files become ``paths``, whose names they have, when the block ends well.

    The last of ``paths`` is the one that is opened first and needs the others. The old one goes before the
    others are replaced, so that a crash in between leaves none, and never one beside the wrong others. Raises
    UserError when they cannot be written.
    """
    last = paths[-1]
    try:
        with partial_folder(last) as partial:
            yield partial
            for path in paths:
                _sync_file(partial / path.name)
            with contextlib.suppress(FileNotFoundError):
                last.unlink()
            for path in paths:
                os.replace(partial / path.name, path)
        _sync_folder(last.parent)
    except OSError as error:
        raise unwritable(last, error) from None


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder that becomes ``path`` when the block ends well, and is deleted otherwise.

    Raises UserError when ``path`` exists and is not an empty folder, or when it cannot be written.
    """
    if path.is_dir() and any(path.iterdir()):
        raise UserError(f"{path}: the folder is not empty; name a new one")
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: is a file; a folder is to be written here")
    if path.exists() and path.samefile(os.curdir):
        raise UserError(f"{path}: is the current folder, which cannot be replaced; name a new one in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        # A file where a folder should be is what Python calls existing.
        reason = os.strerror(errno.ENOTDIR) if isinstance(error, FileExistsError) else error.strerror
        raise _nothing_written(path, path, reason) from None
    try:
        with partial_folder(path) as partial:
            yield partial
            if path.is_dir():  # empty, as above; Windows replaces no folder, not even such a one
                path.rmdir()
            os.replace(partial, path)
    except OSError as error:
        # The file may be one that was to be copied, and then its name helps. It is not to blame for a full
        # disk, though Python names it then, and the temporary folder means nothing to the user.
        where, hidden = error.filename or path, path.with_name(f".{path.name}.")
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or str(where).startswith(str(hidden)):
            where = path
        raise _nothing_written(path, where, error.strerror or error) from None


def _nothing_written(path: Path, where: Path | str, reason: object) -> UserError:
    return UserError(f"{where}: {reason}; nothing was written to {path}")


def remove_leftovers(folder: Path) -> None:
    """Deletes what killed writers of files left in ``folder``, which need not exist."""
    for path in folder.glob(".*.tmp"):
        remove_abandoned(path)


def _remove_abandoned(path: Path, suffix: str) -> None:
    """Deletes the temporary files or folders that processes which were killed have left of ``path``."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.{suffix}"):
        # Only what has the number of a process there is surely from here.
        if left.name.split(".")[-2].isdecimal():
            remove_abandoned(left)


def _sync_file(path: Path) -> None:
    with open(path, "rb+") as file:  # Windows puts only what is open for writing on disk
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Puts a renaming on disk. Systems that cannot open a folder do without."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
