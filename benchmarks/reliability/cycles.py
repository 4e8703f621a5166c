"""Programs that are started and stopped over and over: nothing of them stays. Linux, as root."""

from __future__ import annotations

import os
import random
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from kills import FLAGS
from processes import PATIENCE, Running, start, trained
from results import Row
from servers import free_port
from signals import stop

# Each has a folder of its own for shared memory, since other programs use the common one.
PRIVATE = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /dev/shm && exec "$@"')
SIGNALS = ("SIGTERM", "SIGINT", "SIGINT twice")
# What each prints when it has started up.
READY = {"serve": "serving ", "train": "run folder "}


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Starts and stops a server and a training ``count`` times each, and yields a row for each."""
    data, run = trained(folder)
    port = free_port()
    serve = ["serve", run, "--port", port, "--workers", 2]
    train = [*FLAGS, "--async-val", "--data", data, "--output", folder / "again"]
    for name, words in {"serve, two workers": serve, "train, scores aside": train}.items():
        cycles = Cycles(words, folder / words[0], random.Random(f"{seed} {name}"))
        faults, ended = [], 0
        for number in range(count):
            faults += [f"{name}, start {number}: {fault}" for fault in cycles.turn()]
            ended += cycles.ended
        faults += [f"{name}: the port is taken"] * (not _is_free(port))
        note = f"{count - ended} stopped by SIGTERM or SIGINT, {ended} ran to their end"
        yield Row("cycles", name, count, len(faults), note, faults=faults)


class Cycles:
    """One command, and the places where something of it could stay."""

    def __init__(self, words: Sequence[object], folder: Path, rng: random.Random) -> None:
        self._words, self._folder, self._rng, self.ended = words, folder, rng, False
        for name in ("tmp", "shm"):
            (folder / name).mkdir(parents=True)

    def turn(self) -> list[str]:
        """Starts the command, stops it some time after it has started up, and returns what is wrong then."""
        before = (*PRIVATE, self._folder / "shm")
        variables = {"TMPDIR": str(self._folder / "tmp")}
        running = start(["-m", "gluon_ssd", *self._words], self._folder / "log", variables, before)
        deadline = time.monotonic() + PATIENCE
        ready = READY[str(self._words[0])]
        while running.process.poll() is None and ready not in running.text() and time.monotonic() < deadline:
            time.sleep(0.1)
        # One training in ten may run to its end.
        whole = ready != "serving " and self._rng.random() < 0.1
        self.ended = running.wait(PATIENCE if whole else self._rng.uniform(0, 2))
        fault = self._end(running) if self.ended else stop(running, self._rng.choice(SIGNALS), self._rng)
        return [fault] * bool(fault) + self._left()

    def _end(self, running: Running) -> str | None:
        if running.process.returncode:
            return f"ends with status {running.process.returncode}: {running.text()[-800:]}"
        return "a process outlives it" if running.survivors() else None

    def _left(self) -> list[str]:
        """Returns what has stayed, and takes it away."""
        hidden = [path for path in self._folder.parent.rglob(".*") if path.is_file()]
        places = [path for name in ("tmp", "shm") for path in (self._folder / name).iterdir()]
        for path in [*hidden, *places]:
            (shutil.rmtree if path.is_dir() else os.unlink)(path)
        shutil.rmtree(self._folder.parent / "again", ignore_errors=True)
        return [f"left behind: {path}" for path in [*hidden, *places]]


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
