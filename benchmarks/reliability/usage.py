"""What the processes of a command take of the machine over time, and whether it grows. Linux only."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from processes import Running

# What may be added in an hour, by the slope of the samples. A quarter of an hour cannot tell less from noise.
LIMITS = {"memory": 12.0, "shared": 2.0, "descriptors": 4.0, "threads": 4.0, "files": 4.0}
UNITS = {"memory": "MB", "shared": "MB of shared memory", "files": "temporary files"}
# The share of a run that counts as its start: pools fill, caches come into use.
START = 1 / 3
# Between two samples, in seconds; longer runs have no more than so many.
PERIOD, SAMPLES = 2.0, 1000


@dataclass
class Usage:
    """What all processes of a command take at one moment, ``seconds`` after the watch began.

    ``memory``: MB that they have allocated, without the files that they map, which other programs share.
    ``shared``: MB of shared memory. ``files``: entries of their folder for temporary files.
    """

    seconds: float
    memory: float
    shared: float
    descriptors: int
    threads: int
    files: int


NAMES = tuple(field.name for field in fields(Usage) if field.name != "seconds")


def watch(running: Running, temporary: Path, minutes: float) -> Iterator[Usage]:
    """Yields the usage of a command again and again, until ``minutes`` are over or it has ended."""
    began, period = time.monotonic(), max(PERIOD, minutes * 60 / SAMPLES)
    while (now := time.monotonic() - began) < minutes * 60:
        with contextlib.suppress(OSError):
            yield _usage(now, running.processes(), temporary)
        if running.wait(period):
            return


def _usage(seconds: float, pids: Sequence[int], temporary: Path) -> Usage:
    memory = [_memory(pid) for pid in pids]
    return Usage(
        round(seconds, 1),
        round(sum(each["Pss_Anon"] for each in memory) / 1e3, 2),
        round(sum(each["Pss_Shmem"] for each in memory) / 1e3, 2),
        sum(_entries(f"/proc/{pid}/fd") for pid in pids),
        sum(_entries(f"/proc/{pid}/task") for pid in pids),
        sum(1 for _ in temporary.rglob("*")),
    )


def _memory(pid: int) -> dict[str, int]:
    """Returns kB by the kernel's names."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(text.split()[0]) for name, _, text in (line.partition(":") for line in lines)}


def _entries(folder: str) -> int:
    return sum(1 for _ in Path(folder).iterdir())


def growth(samples: Sequence[Usage], name: str) -> float:
    """Returns what is added in an hour: the median slope of all pairs of samples after the start.

    This is the estimate of Theil and Sen, which single high samples do not move.
    """
    kept = samples[int(len(samples) * START) :]
    hours = np.array([sample.seconds / 3600 for sample in kept])
    values = np.array([getattr(sample, name) for sample in kept], float)
    later, earlier = np.triu_indices(len(kept), 1)[::-1]
    return float(np.median((values[later] - values[earlier]) / (hours[later] - hours[earlier])))


def growing(samples: Sequence[Usage]) -> list[str]:
    """Returns a sentence for everything that grows beyond its limit."""
    slopes = {name: growth(samples, name) for name in NAMES}
    return [
        f"{slope:+.1f} {UNITS.get(name, name)} an hour, more than {LIMITS[name]:g}"
        for name, slope in slopes.items()
        if slope > LIMITS[name]
    ]


def summary(samples: Sequence[Usage]) -> str:
    """Returns what was taken in the end, and how it grew in an hour."""
    last = samples[-max(1, len(samples) // 10) :]
    parts = []
    for name in NAMES:
        middle = float(np.median([getattr(sample, name) for sample in last]))
        parts.append(f"{middle:.0f} {UNITS.get(name, name)} ({growth(samples, name):+.1f})")
    return ", ".join(parts)
