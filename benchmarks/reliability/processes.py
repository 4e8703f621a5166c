"""Commands in processes of their own, and what is left of them after their end. Linux only."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from results import REPOSITORY

from gluon_ssd.data.shapes import make_shapes

# Longer than any of the commands here takes, also on a busy machine.
PATIENCE = 300.0
# How long a process that nobody waits for may outlive the one that started it.
GRACE = 20.0


@dataclass
class Running:
    """A command that was started; what it prints goes into ``log``."""

    process: subprocess.Popen[bytes]
    log: Path
    _seconds: float = 0.0

    def wait(self, seconds: float) -> bool:
        """Returns whether the command has ended within ``seconds``."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is not None

    def seconds(self) -> float:
        """Returns the processor's time that the process has taken, which other programs do not lengthen."""
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

    def survivors(self) -> list[int]:
        """Returns the processes of the session that are still there after `GRACE`, and ends them."""
        deadline = time.monotonic() + GRACE
        while (left := _session(self.process.pid)) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left


def start(
    arguments: list[object],
    log: Path,
    variables: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Running:
    """Starts ``python arguments`` in a session of its own, in the folder of ``log``."""
    usual = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    environment = {**os.environ, **usual, **(variables or {})}
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [python, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env=environment,
            start_new_session=True,
        )
    return Running(process, log)


def finish(
    arguments: list[object],
    log: Path,
    variables: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> tuple[int, str]:
    """Runs ``python arguments`` to its end; returns its status and what it printed."""
    running = start(arguments, log, variables, python)
    if not running.wait(PATIENCE):
        running.send(signal.SIGKILL, group=True)
        running.process.wait()
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


def stop(running: Running, number: int, rng: random.Random) -> str | None:
    """Sends a signal and waits for the end; returns what is wrong with how the command ended, or None.

    SIGINT goes to the whole session, as from a terminal; SIGTERM to it (Slurm) or to the process (docker).
    """
    running.send(number, group=number == signal.SIGINT or (number == signal.SIGTERM and rng.random() < 0.5))
    if not running.wait(PATIENCE):
        # Python then says in which line it was.
        running.send(signal.SIGABRT)
        running.wait(GRACE)
        running.send(signal.SIGKILL, group=True)
        running.process.wait()
        return f"goes on {PATIENCE:.0f} s after signal {number}: {running.text()[-1500:]}"
    status, text = running.process.returncode, running.text()
    if left := running.survivors():
        return f"{len(left)} processes outlive signal {number}"
    if number == signal.SIGKILL:
        return None
    if "Traceback" in text:
        return f"signal {number} shows a traceback: {text.strip().splitlines()[-1]}"
    # Before Python has set its handlers, the system ends the process by the signal itself.
    if status not in (0, 128 + number, -number):
        return f"signal {number} gives status {status}"
    return None


def _session(leader: int) -> list[int]:
    """Returns the living processes of the session of ``leader``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] not in "ZX":
                    found.append(int(entry.name))
    return found
