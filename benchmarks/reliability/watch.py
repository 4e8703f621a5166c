"""What a process does while a reader works: lines of the package, and what no reader may do."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import gluon_ssd

PACKAGE = str(Path(gluon_ssd.__file__).parent)
# Seconds of the processor's time for a file, and of the clock's for one that waits without working.
SECONDS, WAITING = 10, 60
# What a file must not lead to. Reading writes nothing, starts nothing and asks nobody.
_FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect"),
    *("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate"),
)


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Ends the process by SIGPROF where the block works too long, and by SIGALRM where it waits too long."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(WAITING)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)


class Watch:
    """Sees in `reading` what a reader does: ``found`` is something forbidden, ``lines`` are those reached."""

    def __init__(self) -> None:
        self.found = ""
        self.lines: set[tuple[Any, int]] = set()
        self._on, self._known = False, {}
        sys.addaudithook(self._event)

    @contextlib.contextmanager
    def reading(self, traced: bool) -> Iterator[None]:
        """Lines are seen where ``traced``, which makes reading about five times as slow."""
        self.found, self.lines = "", set()
        with in_time():
            self._on = True
            sys.settrace(self._call if traced else None)
            try:
                yield
            finally:
                sys.settrace(None)
                self._on = False

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes or event in _FORBIDDEN or event.startswith("shutil."):
            self.found = f"{event} {arguments[:1]}"

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if code not in self._known:
            self._known[code] = self._line if code.co_filename.startswith(PACKAGE) else None
        return self._known[code]

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.lines.add((frame.f_code, frame.f_lineno))
        return self._line
