"""Fetches many small files from one server, in parallel over connections that stay open."""

from __future__ import annotations

import http.client
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Callable
from urllib.parse import quote, urlsplit

from ...errors import UserError
from ...files import Unwritable, atomic_write
from ...version import __version__

_TRIES = 5
_TIMEOUT = 30  # seconds without a byte


def fetch_images(
    names: Sequence[str],
    source: str,
    folder: Path,
    workers: int = 32,
    progress: Callable[[int], None] | None = None,
    pause: float = 1.0,
) -> int:
    """Fetches the files ``names`` from ``source``, the start of a URL or a folder, into ``folder``.

    Files that are there already are not fetched again, and each appears under its name only when it is whole.
    A server that fails is asked five times, after ``pause`` seconds and twice as long each time. ``progress``
    is called with the number of files that are there.

    Returns how many files were fetched. Raises UserError, naming the first, where files cannot be had; the
    others are fetched all the same, so that a second call goes on from there. Where one cannot be written it
    ends at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # One listing, instead of asking the disk for each of a million names.
    there = {entry.name for entry in os.scandir(folder)}
    todo = [name for name in names if name not in there]
    done = len(names) - len(todo)
    failed: list[UserError] = []
    fetcher = _Fetcher(source.rstrip("/"), folder, pause)
    with ThreadPoolExecutor(workers) as pool:
        try:
            for future in _completed(pool, fetcher.fetch, todo, 4 * workers):
                try:
                    future.result()
                    done += 1
                except Unwritable:
                    raise
                except UserError as error:
                    failed.append(error)
                if progress is not None:
                    progress(done)
        finally:
            # After Ctrl-C or on a full disk the threads must not wait for the server again.
            fetcher.stop.set()
    if failed:
        more = f" ({len(failed)} such files)" if len(failed) > 1 else ""
        raise UserError(f"{failed[0]}{more}; run again to go on")
    return len(todo)


def _completed(
    pool: ThreadPoolExecutor, task: Callable[[str], None], items: Sequence[str], ahead: int
) -> Iterator[Future[None]]:
    """Yields tasks as they finish, with at most ``ahead`` begun at a time, because there may be millions."""
    left = iter(items)
    running = {pool.submit(task, item) for item in islice(left, ahead)}
    while running:
        finished, running = wait(running, return_when=FIRST_COMPLETED)
        running |= {pool.submit(task, item) for item in islice(left, len(finished))}
        yield from finished


class _Fetcher:
    """Fetches single files; every thread keeps a connection of its own."""

    def __init__(self, source: str, folder: Path, pause: float) -> None:
        self._source, self._folder, self._pause = source, folder, pause
        self._url = urlsplit(source) if source.startswith(("http://", "https://")) else None
        self._local = threading.local()
        self.stop = threading.Event()

    def fetch(self, name: str) -> None:
        """Fetches one file. Raises UserError where it cannot be had, Unwritable where not written."""
        if self.stop.is_set():
            return
        body = self._ask(name)
        with atomic_write(self._folder / name, durable=False) as part:
            part.write_bytes(body)

    def _ask(self, name: str) -> bytes:
        if self._url is None:
            try:
                return (Path(self._source) / name).read_bytes()
            except OSError as error:
                raise UserError(f"{self._source}/{name}: {error.strerror or error}") from None
        for attempt in range(_TRIES):
            try:
                status, reason, body = self._get(self._url.path, name)
                if status == 200:
                    return body
                problem = f"the server says {status} {reason}"
                # The server has answered for good, for instance that there is no such file. Only its own
                # faults, and "too many requests", may pass.
                if status < 500 and status != 429:
                    break
            except (OSError, http.client.HTTPException) as error:
                # The state of a broken connection is unknown; the next attempt opens another.
                self._local.connection = None
                problem = " ".join(str(error).split()) or type(error).__name__
            if self.stop.wait(self._pause * 2**attempt):
                break
        raise UserError(f"{self._source}/{name}: {problem}")

    def _get(self, folder: str, name: str) -> tuple[int, str, bytes]:
        """Makes one request. A body shorter than announced raises IncompleteRead."""
        assert self._url is not None
        connection = getattr(self._local, "connection", None)
        if connection is None:
            secure = self._url.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            connection = self._local.connection = kind(self._url.netloc, timeout=_TIMEOUT)
        path = f"{folder}/{quote(name)}"
        connection.request("GET", path, headers={"User-Agent": f"gluon_ssd/{__version__}"})
        # The body is read to its end even when it is not wanted: only then can the connection serve again.
        answer = connection.getresponse()
        return answer.status, answer.reason, answer.read()
