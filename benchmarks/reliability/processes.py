"""Commands in processes of their own, and what is left of them after their end. Linux only."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from results import REPOSITORY

from gluon_ssd.data.shapes import make_shapes

# Longer than any of the commands here takes, also on a busy machine.
PATIENCE = 300.0
# How long a process that nobody waits for may outlive the one that started it.
GRACE = 60.0
# The environment variable by which a process and all that it starts are found.
MARK = "RELIABILITY_MARK"


@dataclass
class Running:
    """A command that was started; what it prints goes into ``log``.

    ``clock``: whether its seconds are those of the processor ("cpu"), which other programs do not lengthen,
    or those since its start ("wall"), for a command that leaves the work to others.
    """

    process: subprocess.Popen[bytes]
    log: Path
    mark: str
    clock: str = "cpu"
    _seconds: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    def wait(self, seconds: float) -> bool:
        """Returns whether the command has ended within ``seconds``."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is not None

    def seconds(self) -> float:
        """Returns how long it has run by its ``clock``."""
        if self.clock == "wall":
            return time.monotonic() - self._began
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            self._seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return self._seconds

    def works(self, seconds: float) -> bool:
        """Waits until the process has taken so many ``seconds``; returns False where it has ended before."""
        while self.process.poll() is None and self.seconds() < seconds:
            time.sleep(0.02)
        return self.process.poll() is None

    def send(self, number: int, group: bool = False) -> None:
        """Sends a signal to the process, or to its whole session, as a terminal does for Ctrl-C."""
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)

    def text(self) -> str:
        """Returns what was printed so far."""
        return self.log.read_text(errors="replace")

    def processes(self) -> list[int]:
        """Returns the living processes that the command has started, and its own."""
        found, line = [], f"{MARK}={self.mark}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                # One that has ended, though nobody has asked for its status, has no environment any more.
                with contextlib.suppress(OSError):
                    if line in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def survivors(self) -> list[int]:
        """Returns the processes that are still there after `GRACE`, and ends them."""
        deadline = time.monotonic() + GRACE
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left

    def kill(self) -> None:
        """Ends the process, and all that it has started."""
        while left := self.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
        self.process.wait()


def start(
    arguments: Sequence[object],
    log: Path,
    variables: Mapping[str, str] | None = None,
    clock: str = "cpu",
    before: Sequence[object] = (),
    python: str = sys.executable,
) -> Running:
    """Starts ``python arguments`` in a session of its own, in the folder of ``log``.

    ``before``: the words of a command that turns into the one that follows them.
    """
    mark = uuid.uuid4().hex
    usual = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1", MARK: mark}
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [*map(str, before), python, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env={**os.environ, **usual, **(variables or {})},
            start_new_session=True,
            # A shell has what it starts in the background ignore Ctrl-C, and so would all that comes of it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    return Running(process, log, mark, clock)


def finish(
    arguments: list[object],
    log: Path,
    variables: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> tuple[int, str]:
    """Runs ``python arguments`` to its end; returns its status and what it printed."""
    running = start(arguments, log, variables, python=python)
    if not running.wait(PATIENCE):
        running.kill()
        return -1, f"did not end within {PATIENCE:.0f} s\n{running.text()}"
    return running.process.returncode, running.text()


def trained(folder: Path) -> tuple[Path, Path]:
    """Returns a small data set and the run folder of a short training on it, both made in ``folder``."""
    data, run = make_shapes(folder / "data", train=6, val=2, size=(96, 128)), folder / "run"
    flags = f"train --recipe ssd_tiny/smoke --max-steps 2 --batch-size 2 --data {data} --output {run}"
    status, text = finish(["-m", "gluon_ssd", *flags.split()], folder / "train.log")
    if status:
        raise RuntimeError(text)
    return data, run


def call(command: str) -> tuple[int, str]:
    """Returns the status of a command that runs in this process, and all that it has printed."""
    with tempfile.TemporaryFile() as printed:
        sys.stdout.flush()
        sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        try:
            from gluon_ssd.cli import main

            status = main(command.split())
        except BaseException:
            status = 1
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, descriptor in enumerate(kept, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)
        printed.seek(0)
        return status, printed.read().decode(errors="replace")
