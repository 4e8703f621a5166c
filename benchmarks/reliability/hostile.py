"""Reads files and folders that were made to harm, each in a process of its own."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile_files
import hostile_names
from results import Row
from traps import picture
from watch import SECONDS, WAITING, in_time

from gluon_ssd.errors import UserError

MEMORY = 256 << 20
SECRET = "the content of a file that nobody named"
CASES = {**hostile_files.CASES, **hostile_names.CASES}


def measure(count: int, seed: int, folder: Path, case: str = "") -> Iterator[Row]:
    """Reads each of `CASES` that has ``case`` in its name once, and yields one row."""
    faults, chosen = [], [name for name in CASES if case in name]
    for place, name in enumerate(chosen):
        home = folder / f"hostile{place}"
        home.mkdir()
        fault = _alone(CASES[name], home)
        faults += [f"{name}: {fault}"] if fault else []
        shutil.rmtree(home, ignore_errors=True)
    if chosen:
        yield Row("inputs", "files made to harm", len(chosen), len(faults), "; ".join(chosen), faults=faults)


def _alone(case: Callable[[Path], Any], home: Path) -> str | None:
    """Returns what is wrong with how a case ends, or None."""
    (home / "work").mkdir()
    before = {path.name for path in home.iterdir()}
    pid = os.fork()
    if not pid:
        (home / "told").write_text(_outcome(case, home / "work"))
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return _ended(os.WTERMSIG(status))
    if extra := {path.name for path in home.iterdir()} - before - {"told"}:
        return f"wrote {extra}"
    return (home / "told").read_text() or None


def _ended(number: int) -> str:
    known = {signal.SIGPROF: f"works for more than {SECONDS} s", signal.SIGALRM: f"waits for {WAITING} s"}
    return known.get(signal.Signals(number), f"signal {number}")


def _outcome(case: Callable[[Path], Any], work: Path) -> str:
    """Runs a case three folders further down, and returns what is wrong with it, or nothing."""
    inner = work / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "secret").write_text(SECRET)
    picture(inner / "victim.png")
    usual = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    resource.setrlimit(resource.RLIMIT_AS, (usual + (6 << 30),) * 2)
    text = io.StringIO()
    try:
        with in_time(), contextlib.redirect_stderr(text):
            print(case(inner), file=text)
    except UserError as error:
        print(error, file=text)
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - usual
    if SECRET in text.getvalue():
        return "shows the content of another file"
    strays = [path.name for path in (*work.iterdir(), *(work / "a").iterdir()) if path.name not in "ab"]
    return f"wrote {strays}" if strays else f"took {grown >> 20} MB" if grown > MEMORY else ""
