"""Reads pictures out of shards."""

from __future__ import annotations

import os
import threading
import weakref
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from ...errors import UserError

REMEDY = "copy it again, or pack the data set again with gluon-ssd prepare-records --overwrite"


class Shard:
    """One record file, opened at the first read. Any number of threads may read at once.

    ``unwrap`` takes one record as it stands in the file and returns what it holds, or raises ValueError.
    """

    def __init__(self, path: Path, unwrap: Callable[[bytes], bytes]) -> None:
        self.path, self._unwrap = path, unwrap
        self._descriptor: int | None = None
        self._lock = threading.Lock()

    # An open file cannot go to another process; the copy there opens it anew.
    def __reduce__(self) -> tuple[Any, ...]:
        return Shard, (self.path, self._unwrap)

    def read(self, offset: int, length: int) -> bytes:
        """Returns what the record of ``length`` bytes at ``offset`` holds.

        Raises UserError when it is not there.
        """
        try:
            data = self._bytes(offset, length)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror or error}); {REMEDY}") from None
        if len(data) < length:
            raise UserError(f"{self.path}: ends within the record at byte {offset}; {REMEDY}")
        try:
            return self._unwrap(data)
        except ValueError as error:
            raise UserError(f"{self.path}: damaged at byte {offset} ({error}); {REMEDY}") from None

    def _bytes(self, offset: int, length: int) -> bytes:
        descriptor = self._open()
        if hasattr(os, "pread"):
            # One call that seeks and reads, so that threads do not disturb each other's position.
            return os.pread(descriptor, length, offset)
        with self._lock:  # Windows has no pread, and one position per file
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.read(descriptor, length)

    def _open(self) -> int:
        with self._lock:
            if self._descriptor is None:
                binary = getattr(os, "O_BINARY", 0)  # Windows would else change line ends
                self._descriptor = os.open(self.path, os.O_RDONLY | binary)
                weakref.finalize(self, os.close, self._descriptor)
            return self._descriptor


@dataclass(frozen=True)
class PackedPicture:
    """A picture in a shard: the place and length of its record, and the picture's own size and CRC-32.

    Writers put the picture at the end of the record, so that its size is enough to find it in either format.
    """

    shard: Shard
    offset: int
    length: int
    size: int
    crc32: int

    def read(self) -> bytes:
        """Returns the picture's bytes as they were packed.

        Raises UserError, naming the shard, when they differ.
        """
        picture = self.shard.read(self.offset, self.length)[-self.size :]
        if len(picture) != self.size or zlib.crc32(picture) != self.crc32:
            raise UserError(
                f"{self.shard.path}: damaged at byte {self.offset} (checksum of the picture); {REMEDY}"
            )
        return picture
