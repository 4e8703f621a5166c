"""Two programs timed in turn, each in a process of its own and told when to run: noise hits both alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Callable


def serve(work: Callable[[], None], warmup: int = 2) -> None:
    """The side of a worker: runs ``work`` once for every line on standard input and prints what it took.

    Those are the seconds that passed, and the processor's of all threads of the process.
    """
    for _ in range(warmup):
        work()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter(), time.process_time()
        work()
        print(time.perf_counter() - start[0], time.process_time() - start[1], flush=True)


class Worker:
    """A process that runs `serve`, with ``variables`` in its environment."""

    def __init__(self, name: str, arguments: Sequence[str], **variables: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        )
        self._read()

    def run(self, clock: str = "wall") -> float:
        """Seconds of one round by ``clock``, ``wall`` or ``cpu``.

        Raises RuntimeError with the worker's last words when it has died.
        """
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._read().split()[("wall", "cpu").index(clock)])

    def _read(self) -> str:
        assert self._process.stdout is not None and self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            words = self._process.stderr.read().strip().split("\n")[-3:]
            raise RuntimeError(f"{self.name} died: {' | '.join(words)[-400:]}")
        return line

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def compare(ours: Worker, theirs: Worker, images: int, rounds: int) -> float:
    """Runs both in turn, prints images/s and returns the median of theirs / ours, seconds pair by pair."""
    pairs = [(ours.run(), theirs.run()) for _ in range(rounds)]
    for worker, times in zip((ours, theirs), zip(*pairs)):
        middle = statistics.median(times)
        print(f"  {worker.name:24} {images / middle:7.2f} images/s   {1000 * middle:7.0f} ms")
    ratios = sorted(their / our for our, their in pairs)
    ratio = statistics.median(ratios)
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    print(f"  ratio {ratio:.2f} (of {rounds} pairs: {spread}); above 1 is in our favour")
    return ratio


def contest(script: str, options: Sequence[str], images: int, rounds: int) -> None:
    """Compares the workers ``ours`` and ``gluoncv`` of ``script``, started with ``options``."""
    workers = [Worker(name, [script, "--worker", name, *options]) for name in ("ours", "gluoncv")]
    compare(workers[0], workers[1], images, rounds)
    for worker in workers:
        worker.close()
