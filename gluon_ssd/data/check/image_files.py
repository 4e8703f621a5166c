"""Looks at image files: whether they are there, whole, and of the right size, and which are equal."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Callable, Union

from ...errors import UserError
from ..header import JPEG, PNG, Header, read_header
from ..images import decode_image
from ..orientation import upright_size
from ..progress import ProgressReporter
from ..record_files.shards import PackedPicture
from ..truncation import is_complete

FINE, MISSING, EMPTY, CORRUPT = "fine", "missing", "empty", "corrupt"
# Where a picture is: in a file of its own, or at a place in a shard.
Location = Union[Path, PackedPicture]
# The number of files handed to the threads at once, which limits what is still done after Ctrl-C.
_PORTION = 256


@dataclass(frozen=True)
class FileFacts:
    """What a look at a file tells: its state and why it is not fine, its bytes, its size and orientation."""

    state: str
    why: str = ""
    length: int = 0
    header: Header | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """Stored (width, height)."""
        return self.header and self.header.size

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(width, height) as stored and upright; empty without a readable header."""
        return (self.header.size, upright_size(self.header)) if self.header else ()


def scan_files(
    locations: Sequence[Location], workers: int, progress: ProgressReporter, decode: bool = False
) -> list[FileFacts]:
    """Looks at every picture, and returns the facts in the same order.

    ``decode`` decodes each whole, instead of reading headers and end markers.
    """
    return list(_in_threads(partial(look_at, decode=decode), locations, workers, progress))


def look_at(location: Location, decode: bool = False) -> FileFacts:
    """Looks at one picture: at a few kilobytes of a JPEG or PNG file, at the whole of anything else."""
    if isinstance(location, PackedPicture):
        return _packed(location, decode)
    return _file(location, decode)


def _packed(picture: PackedPicture, decode: bool) -> FileFacts:
    try:
        data = picture.read()
    except UserError as error:
        return FileFacts(CORRUPT, str(error).split(";")[0])
    if not data:
        return FileFacts(EMPTY, "0 bytes")
    if decode or not data.startswith((JPEG, PNG)):
        return _decoded(data, picture.shard.path)
    return _whole(data)


def _file(path: Path, decode: bool) -> FileFacts:
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode):
            # Opening a pipe may wait for ever.
            return FileFacts(MISSING, "a folder" if stat.S_ISDIR(about.st_mode) else "not a file")
        length = about.st_size
        with open(path, "rb") as stream:
            if length == 0:
                return FileFacts(EMPTY, "0 bytes")
            # Only these two formats have an end marker that tells whether the file is whole.
            if decode or not stream.read(8).startswith((JPEG, PNG)):
                stream.seek(0)
                return _decoded(stream.read(), path)
            return _by_header(stream, length)
    except FileNotFoundError:
        return FileFacts(MISSING, "no such file")
    except OSError as error:
        return FileFacts(MISSING, error.strerror or str(error))
    except ValueError:
        return FileFacts(MISSING, "no name that a file can have")


def _by_header(stream: BinaryIO, length: int) -> FileFacts:
    """The facts of a JPEG or PNG by its header and its last bytes."""
    header = read_header(stream)
    if header is not None and length > 12:
        # The last chunk of a PNG has twelve bytes, the end marker of a JPEG two.
        stream.seek(-12, os.SEEK_END)
        tail = stream.read(12)
        if tail.endswith(b"\xff\xd9") or b"IEND" in tail:
            return FileFacts(FINE, "", length, header)
    # Bytes may follow the end marker, so the file is read whole before it is called truncated.
    stream.seek(0)
    return _whole(stream.read())


def _whole(data: bytes) -> FileFacts:
    """The facts of a picture by its header and a search for its end marker."""
    header = read_header(io.BytesIO(data))
    if header is None:
        return FileFacts(CORRUPT, "its header has no size", len(data))
    if not is_complete(data):
        return FileFacts(CORRUPT, f"truncated ({len(data)} bytes)", len(data), header)
    return FileFacts(FINE, "", len(data), header)


def _decoded(data: bytes, path: Path) -> FileFacts:
    header = read_header(io.BytesIO(data))
    try:
        image = decode_image(data, path)
    except UserError as error:
        why = str(error)[len(f"{path}: ") :].split(";")[0]
        return FileFacts(CORRUPT, why, len(data), header)
    orientation = header.orientation if header else 1
    return FileFacts(FINE, "", len(data), Header(image.shape[1], image.shape[0], orientation))


def same_content(
    locations: Sequence[Location], lengths: Sequence[int], workers: int, progress: ProgressReporter
) -> list[list[int]]:
    """Returns groups of indices of pictures with equal bytes; only those as long as another one are read."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, length in enumerate(lengths):
        by_length[length].append(index)
    suspects = [index for indices in by_length.values() if len(indices) > 1 for index in indices]
    groups: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    digests = _in_threads(_digest, [locations[index] for index in suspects], workers, progress)
    for index, digest in zip(suspects, digests):
        if digest is not None:
            groups[lengths[index], digest].append(index)
    return sorted(sorted(indices) for indices in groups.values() if len(indices) > 1)


def _digest(location: Location) -> bytes | None:
    """A digest of a picture's bytes; None where they cannot be read, which has been reported by then."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        if isinstance(location, PackedPicture):
            digest.update(location.read())
            return digest.digest()
        with open(location, "rb", buffering=0) as stream:
            for part in iter(lambda: stream.read(1 << 20), b""):
                digest.update(part)
    except (OSError, UserError):
        return None
    return digest.digest()


def _in_threads(
    work: Callable[[Location], Any], locations: Sequence[Location], workers: int, progress: ProgressReporter
) -> Iterator[Any]:
    with ThreadPoolExecutor(workers, thread_name_prefix="gluon_ssd-check") as pool:
        for start in range(0, len(locations), _PORTION):
            for result in pool.map(work, locations[start : start + _PORTION]):
                progress.advance(1)
                yield result
