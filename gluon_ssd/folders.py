"""Writes folders, and files that belong together, which appear under their names complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from .errors import UserError
from .files import UNTOUCHED, Unwritable, beside, sync_file, sync_folder, unwritable
from .locks import held, only_writer


@contextlib.contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Yields a hidden folder beside ``path``, in which that can be made; it is deleted in the end."""
    partial = beside(path, "partial")
    try:
        with held(partial, folder=True):
            yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def files_together(paths: Sequence[Path]) -> Iterator[Path]:
    """Yields a temporary folder; its files become ``paths``, whose names they have, when the block ends well.

    The last of ``paths`` is the one that is opened first and needs the others. The old one goes before others
    are replaced, so that a crash in between leaves none, and never one beside the wrong others. Raises
    UserError when they cannot be written; what was there before stays then.
    """
    last = paths[-1]
    try:
        with partial_folder(last) as partial:
            yield partial
            for path in paths:
                sync_file(partial / path.name)
            # Another process may write the same, and of two exports there must be no mixture.
            with only_writer(last.parent):
                others = [path for path in reversed(paths) if path.is_file() and len(paths) > 1]
                exchange(others, partial, paths)
        sync_folder(last.parent)
    except (OSError, Unwritable) as error:
        # The temporary folder, which it may name, means nothing to the user.
        raise unwritable(last, error, UNTOUCHED) from None


def exchange(old: Sequence[Path], partial: Path, paths: Sequence[Path]) -> None:
    """Moves ``old`` away, in this order, and then the files of ``partial`` to ``paths``.

    Where that fails, ``old`` come back, in the reverse order. Raises OSError then.
    """
    aside, placed = partial / "old", []
    aside.mkdir()
    try:
        for path in old:
            os.replace(path, aside / path.name)
        for path in paths:
            os.replace(partial / path.name, path)
            placed.append(path)
    except OSError:
        for path in placed:
            with contextlib.suppress(OSError):
                path.unlink()
        for path in reversed(old):
            with contextlib.suppress(OSError):
                os.replace(aside / path.name, path)
        raise


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
        raise _nothing_written(path, path, unwritable(path, error).reason) from None
    try:
        with partial_folder(path) as partial:
            yield partial
            if path.is_dir():  # empty, as above; Windows replaces no folder, not even such a one
                path.rmdir()
            os.replace(partial, path)
    except Unwritable as error:
        raise _nothing_written(path, path, error.reason) from None
    except OSError as error:
        # The file may be one that was to be copied, and then its name helps. It is not to blame for a full
        # disk, though Python names it then, and the temporary folder means nothing to the user.
        where, hidden = error.filename or path, path.with_name(f".{path.name}.")
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or str(where).startswith(str(hidden)):
            where = path
        raise _nothing_written(path, where, error.strerror or error) from None


def _nothing_written(path: Path, where: Path | str, reason: object) -> UserError:
    return UserError(f"{where}: {reason}; nothing was written to {path}")
