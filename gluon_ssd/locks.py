"""Locks between processes. They end with the process that holds them, however it ends."""

from __future__ import annotations

import contextlib
import os
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
def held(path: Path) -> Iterator[None]:
    """Locks a file or folder inside the block, so that `abandoned` knows that a process still works on it.

    A file that is not there is made. Where the system or the disk has no such locks, nothing is locked.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError):
            import fcntl

            descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
            stack.callback(os.close, descriptor)
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def abandoned(path: Path) -> bool:
    """Returns whether no process has `held` a file or folder that exists; False where that cannot be told."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        # Network disks lock only what is open for writing, and folders cannot be opened so.
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        finally:
            os.close(descriptor)
    return False
