"""One training that is started, and killed at a random moment. It may be of several processes."""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from processes import PATIENCE, Running, start
from signals import stop


class Trainings:
    """Starts trainings of one variant: ``ranks`` processes, or the launcher of so many.

    ``flags`` are those of ``gluon-ssd``. What is printed goes into ``folder``.
    """

    def __init__(self, flags: Sequence[str], ranks: int, launcher: bool, folder: Path) -> None:
        self._flags, self._ranks, self._launcher, self._folder = flags, ranks, launcher, folder
        # Seconds until a training has claimed its folder, and from there to its end.
        self._start_up, self._training = 0.0, 0.0

    def leave_alone(self, run: Path) -> str | None:
        """Runs a training to its end, to see how long it takes; returns what is wrong with it."""
        running = self.start(run, resume=False)
        _await_claim(running[0], run)
        self._start_up = running[0].seconds()
        while running[0].works(1e9):
            pass
        self._training = running[0].seconds() - self._start_up
        return self.end(running)

    def start(self, run: Path, resume: bool) -> list[Running]:
        """Starts a training in the folder ``run``."""
        log = self._folder / f"{run.name}.log"
        words = ["-m", "gluon_ssd", *self._flags, "--output", run, *(["--resume"] if resume else [])]
        if self._launcher:
            launch = ["-m", "gluon_ssd.horovodrun", "-np", self._ranks, sys.executable]
            return [start([*launch, *words], log, clock="wall")]
        if self._ranks == 1:
            return [start(words, log)]
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
        return [
            # One that is killed before it joins is missed sooner than by default.
            start(
                words,
                log.with_suffix(f".{rank}.log"),
                {**launched(rank, address, self._ranks), "HOROVOD_GLOO_TIMEOUT_SECONDS": "60"},
            )
            for rank in range(self._ranks)
        ]

    def end(self, running: Sequence[Running]) -> str | None:
        """Waits for the end of all; returns what is wrong where one does not end well."""
        ended = [each.wait(PATIENCE) for each in running]
        for each in running:
            each.kill()
        statuses = [each.process.returncode for each in running]
        if all(ended) and not any(statuses):
            return None
        texts = "\n".join(each.text()[-1500:] for each in running)
        return f"ended with statuses {statuses}: {texts}"

    def kill(self, running: Sequence[Running], run: Path, name: str, rng: random.Random) -> str | None:
        """Sends `signals.SIGNALS` of that ``name`` at a random moment, if the training has not ended before.

        Returns what is wrong with how it ends.
        """
        victim = rng.choice(running)
        if not self._await_moment(victim, run, rng):
            return self.end(running)
        fault = stop(victim, name, rng, ours=not self._launcher)
        # A rank that has lost another ends by itself.
        for other in running:
            if not other.wait(PATIENCE):
                fault = fault or f"a rank goes on after the other's end: {other.text()[-1500:]}"
                other.kill()
            if other.survivors():
                fault = fault or "a process outlives its rank"
        return fault

    def _await_moment(self, victim: Running, run: Path, rng: random.Random) -> bool:
        """Waits for a random moment; returns False where the training has ended before.

        One in ten comes while the program starts, two in ten while a file is being written.
        """
        kind, log = rng.random(), run / "train.log"
        if kind < 0.1:
            return victim.works(rng.uniform(0, self._start_up))
        _await_claim(victim, run, log.stat().st_mtime_ns if log.exists() else 0)
        alive = victim.works(victim.seconds() + rng.uniform(0, 0.9 * self._training))
        while alive and kind < 0.3 and not any(run.rglob(".*.tmp")):
            alive = victim.process.poll() is None
        return alive


def _await_claim(running: Running, run: Path, before: int = 0) -> None:
    """Waits until a training has claimed its folder: it has started up."""
    log = run / "train.log"
    while running.process.poll() is None and (not log.exists() or log.stat().st_mtime_ns <= before):
        time.sleep(0.02)


def launched(rank: int, address: str, size: int, local: bool = True) -> dict[str, str]:
    """Returns what Open MPI's launcher tells a rank, and where rank 0 is. ``local``: all on one host."""
    values = {"RANK": rank, "SIZE": size, "LOCAL_RANK": rank * local, "LOCAL_SIZE": size if local else 1}
    told = {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in values.items()}
    return {**told, "GLUON_SSD_RENDEZVOUS": address}
