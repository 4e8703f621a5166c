"""What a training tells: a bar on a terminal or in a notebook, else plain lines; all of it in train.log."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from .errors import visible
from .files import writing
from .machine import in_notebook


def memory_gib() -> float:
    """Returns the resident memory of this process in GiB; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (OSError, ValueError, AttributeError):
        return 0.0


def duration(seconds: float) -> str:
    """Returns a length of time as 1:23:45 or 12:34."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _shows_a_bar() -> bool:
    """Whether the output is a terminal, or a notebook in which rich can draw."""
    if in_notebook():
        # Without this package rich would only warn, and plain lines say more.
        return find_spec("ipywidgets") is not None
    return getattr(sys.stdout, "isatty", bool)()


class Console:
    """Messages and progress of one run.

    ``log`` is the file that they are added to; ``quiet`` shows nothing.
    """

    def __init__(self, log: Path | None = None, quiet: bool = False) -> None:
        self._log, self._file = log, _open(log) if log else None
        self._quiet = quiet
        self._live: _Bar | None = None
        self._has_bar = not quiet and _shows_a_bar()

    def say(self, text: str) -> None:
        """Prints ``text`` and adds it to the log; what a terminal would obey is spelt out."""
        text = visible(text)
        self._record(text)
        if self._quiet:
            return
        if self._live is not None:
            # Above the bar: a plain print would leave a torn bar on the terminal.
            self._live.print(text)
        else:
            print(text, flush=True)

    def note(self, text: str) -> None:
        """Adds ``text`` to the log alone."""
        self._record(text)

    def start(self, title: str, total: int | None, done: int = 0) -> None:
        """Begins a stretch of ``total`` steps, of which ``done`` are over; None: nobody knows how many."""
        self._began, self._total, self._first = time.perf_counter(), total, done
        self._title, self._done = title, done
        if self._has_bar:
            self._live = _Bar(title, total, done)

    def step(self, done: int, values: Mapping[str, str], show: bool, whole: float | None = None) -> None:
        """Takes note that step ``done`` of the stretch is over.

        ``show`` says that it is worth a line where there is no bar. ``whole`` is how many seconds are left of
        the run that the stretch is part of.
        """
        self._done = done
        spent = time.perf_counter() - self._began
        # Only steps of this process count: those before a resume took no time here.
        left = spent / max(done - self._first, 1) * ((self._total or done) - done)
        note = "  ".join(f"{name} {value}" for name, value in values.items())
        eta = f"ETA {duration(left)}" + ("" if whole is None else f" (run {duration(whole)})")
        if self._live is not None:
            self._live.show(done, eta if self._total else "", note)
        if show:
            line = f"{self._title} {done}/{self._total or '?'}  {note}  {eta}"
            if self._live is not None:
                self._record(line)
            else:
                self.say(line)

    def advance(self, count: int) -> None:
        """Takes note that ``count`` more steps are over, none of them worth a line."""
        self.step(self._done + count, {}, show=False)

    def stop(self) -> None:
        """Ends the stretch and takes the bar away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def close(self) -> None:
        """Takes the bar away and closes the log."""
        self.stop()
        if self._file is not None:
            # That the disk is full was reported when the line was written.
            with contextlib.suppress(OSError):
                self._file.close()

    def _record(self, text: str) -> None:
        if self._file is None or self._file.closed:
            return
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        with writing(self._file.name):
            self._file.write("".join(f"{stamp} {line}\n" for line in text.split("\n")))
            self._file.flush()


class _Bar:
    """A bar with the values on a line of their own, so that both fit a terminal of 80 columns."""

    def __init__(self, title: str, total: int | None, done: int) -> None:
        from rich.console import Group
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.text import Text

        eta = TextColumn("{task.fields[eta]}")
        # The name of a video is no markup.
        name = TextColumn("{task.description}", markup=False)
        self._bar = Progress(name, BarColumn(24), MofNCompleteColumn(), eta)
        self._task = self._bar.add_task(visible(title), total=total, completed=done, eta="")
        self._note = Text(no_wrap=True, overflow="ellipsis")
        self._live = Live(Group(self._bar, self._note), transient=True, refresh_per_second=10)
        self._live.start()

    def show(self, done: int, eta: str, note: str) -> None:
        self._bar.update(self._task, completed=done, eta=eta)
        self._note.plain = note

    def print(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        self._live.stop()


def _open(log: Path) -> IO[str]:
    with writing(log):
        # The name of a file may hold bytes that are no text.
        return open(log, "a", encoding="utf-8", errors="backslashreplace")
