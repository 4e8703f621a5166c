"""System calls of Linux on x86-64 that have to do with files: what one does, and with which file."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass

_OPEN, _OPENAT = 2, 257
# By number: the call, the argument that is a descriptor of the file or its folder, and that with the path.
CALLS: Mapping[int, tuple[str, int | None, int | None]] = {
    0: ("read", 0, None),
    1: ("write", 0, None),
    _OPEN: ("open", None, 0),
    9: ("mmap", 4, None),
    17: ("pread", 0, None),
    18: ("pwrite", 0, None),
    19: ("readv", 0, None),
    20: ("writev", 0, None),
    40: ("sendfile", 0, None),
    74: ("fsync", 0, None),
    75: ("fdatasync", 0, None),
    77: ("ftruncate", 0, None),
    82: ("rename", None, 1),
    83: ("mkdir", None, 0),
    86: ("link", None, 1),
    88: ("symlink", None, 1),
    _OPENAT: ("open", 0, 1),
    258: ("mkdir", 0, 1),
    264: ("rename", 2, 3),
    265: ("link", 2, 3),
    266: ("symlink", 1, 2),
    285: ("fallocate", 0, None),
    316: ("rename", 2, 3),
    326: ("copy_file_range", 2, None),
}
READING = ("open to read", "read", "pread", "readv", "mmap")

@dataclass(frozen=True)
class Call:
    """A system call on a file: its name, in which an `open` tells what for, and the path."""

    name: str
    path: str


def understood(pid: int, number: int, arguments: list[int]) -> Call | None:
    """Returns a call of the process ``pid``; None where its file cannot be told."""
    name, descriptor, path = CALLS[number]
    try:
        if path is None:
            return Call(name, os.readlink(f"/proc/{pid}/fd/{arguments[descriptor] & 0xFFFFFFFF}"))
        # The descriptor -100 stands for the current folder.
        given = -100 if descriptor is None else ctypes.c_int32(arguments[descriptor] & 0xFFFFFFFF).value
        base = f"/proc/{pid}/cwd" if given == -100 else f"/proc/{pid}/fd/{given}"
        whole = os.path.normpath(os.path.join(os.readlink(base), _text(pid, arguments[path])))
    except OSError:
        return None
    if name == "open":
        flags = arguments[path + 1]
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return Call("open to write" if writes else "open to read", whole)
    return Call(name, whole)


def _text(pid: int, address: int) -> str:
    """Returns the text that another process has at an address, up to its zero byte."""
    found = b""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        while b"\0" not in found:
            memory.seek(address + len(found))
            # A page at a time, since the next may not be there.
            found += memory.read(4096 - (address + len(found)) % 4096)
    return os.fsdecode(found.partition(b"\0")[0])
