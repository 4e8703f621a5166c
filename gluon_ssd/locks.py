"""Locks between processes. They end with the process that holds them, however it ends."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


def try_lock(file: IO[Any], shared: bool = False) -> str | None:
    """Locks an open file until it is closed. Raises BlockingIOError when another process has locked it.

    Locks that are ``shared`` do not exclude each other, only those that are not shared. The file must be open
    for writing, because network disks lock no other. Returns None, or the reason why this system or disk
    cannot lock.
    """
    try:
        import fcntl

        # `flock` and not `lockf`: the latter's lock would end as soon as this process closes the file
        # anywhere.
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except (ImportError, OSError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Waits until no other process is inside such a block for ``folder``, which must exist.

    Where the system or the disk cannot lock folders, nobody waits.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def held(path: Path, folder: bool = False) -> Iterator[None]:
    """Makes a file or a folder and locks it inside the block, so that `remove_abandoned` leaves it alone.

    A file may be there already. Where the system or the disk has no such locks, nothing is locked.
    """
    with contextlib.ExitStack() as stack:
        # Another process may remove it after it is made and before it is locked. Then it is made again.
        while not _hold(path, folder, stack):
            pass
        yield


def _hold(path: Path, folder: bool, stack: contextlib.ExitStack) -> bool:
    """Makes and locks it until ``stack`` ends; returns whether it is still there."""
    if folder:
        path.mkdir()
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT, 0o666)
    except ImportError:
        return True
    except FileNotFoundError:
        if folder:
            return False
        raise
    stack.callback(os.close, descriptor)
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return path.exists()


def remove_abandoned(path: Path) -> None:
    """Deletes a file or folder that no process has `held`. Where that cannot be told, it stays.

    It is locked meanwhile, so that a process that is about to hold it sees afterwards that it is gone.
    """
    with contextlib.suppress(ImportError, OSError), contextlib.ExitStack() as stack:
        import fcntl

        # Network disks lock only what is open for writing, and folders cannot be opened so.
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its writer may have finished it since it was opened, and may write the next under the same name.
        if not os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
