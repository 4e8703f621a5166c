"""Fetches one file from a URL or a folder, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Callable

from ..errors import UserError
from ..files import unwritable
from ..version import __version__

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_BLOCK = 1 << 18
_TIMEOUT = 30  # seconds without a byte

# Called with the number of bytes so far and that of all bytes, which is None where it is unknown.
Progress = Callable[[int, "int | None"], None]


def fetch(source: str, path: Path, check: Callable[[Path], None], progress: Progress | None = None) -> None:
    """Brings ``source``, a URL or a file, to ``path``, by way of a file whose name has ``.part`` added.

    ``check`` raises UserError for wrong content, which is then deleted. A download that was cut off stays as
    ``.part``, and the next call continues it. ``progress`` is called with the bytes so far and in all. Raises
    UserError when ``source`` cannot be reached or another process downloads the same file.
    """
    part = path.with_name(path.name + ".part")
    for place in (path, part):
        if place.is_dir():
            raise UserError(f"{place}: is a folder, where a file should be; remove it")
    with _locked(part):
        try:
            with part.open("ab") as file:
                if re.match("https?://", source):
                    _download(source, file, progress)
                else:
                    _copy(Path(source), file)
                # On disk before the rename, so that a power cut cannot leave an empty file under the name.
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(part, error, "run again to go on") from None
        except UserError:
            if not part.stat().st_size:
                part.unlink()
            raise
        try:
            check(part)
        except UserError:
            part.unlink()
            raise
        os.replace(part, path)


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Keeps other processes from downloading to ``part``. Raises UserError where one does so already."""
    # Windows has no such lock, and there a second open file would keep `part` from being renamed.
    if fcntl is None:
        yield
        return
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{part}: another process is downloading this file; wait for it") from None
        yield


def _copy(source: Path, file: BinaryIO) -> None:
    try:
        origin = source.open("rb")
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        what = "no such file in the mirror" if missing else f"cannot be read: {error.strerror}"
        raise UserError(f"{source}: {what}") from None
    with origin:
        # What an earlier download has left need not be the start of this file.
        file.truncate(0)
        shutil.copyfileobj(origin, file)


def _download(url: str, file: BinaryIO, progress: Progress | None) -> None:
    """Appends to ``file`` what it does not have yet of the content of ``url``."""
    have = file.seek(0, os.SEEK_END)
    try:
        with _open(url, have) as answer:
            if answer.status != 206:  # the server ignores the range and sends the whole file
                have = 0
                file.truncate(0)
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            for block in iter(lambda: answer.read(_BLOCK), b""):
                file.write(block)
                have += len(block)
                if progress is not None:
                    progress(have, total)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to fetch, and the check tells whether the file is right
            return
        raise UserError(f"{url}: the server says {error.code} {error.reason}") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        # A full disk is no problem of the connection; `fetch` says which file could not be written.
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        advice = _advice(Path(file.name), have)
        raise UserError(f"{url}: cannot be reached: {_reason(error)}; {advice}") from None
    # `read` ends quietly when a server closes the connection too early.
    if total is not None and have < total:
        raise UserError(f"{url}: the connection broke at {have} of {total} bytes; run again to go on")


def _open(url: str, start: int) -> Any:
    headers = {"User-Agent": f"gluon_ssd/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return " ".join(str(text).split())


def _advice(part: Path, have: int) -> str:
    if have:
        return "run again to go on"
    return f"without a network put {part.stem} into {part.parent}/, or set GLUON_SSD_MIRROR"
