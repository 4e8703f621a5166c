"""The machine of this process: its cores, how much of them others use, and whether it is a notebook."""

from __future__ import annotations

import os
import sys

from .launch import detect

# A share of the cores' time in other programs that slows a training down.
_BUSY = 0.15
# Idle threads wait in a loop unless told otherwise, and take the cores from those that work.
SHARED_ADVICE = "OMP_WAIT_POLICY=passive is faster beside other programs, and OMP_NUM_THREADS=1 if they stay"


def cores() -> int:
    """Returns the number of cores that the process is allowed to run on, at least 1."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def threads() -> int:
    """Returns the number of cores that this process should use, at least 1.

    That is its share, where several processes run on this machine. mpirun and srun may have given each
    process cores of its own; those are not divided again.
    """
    launch, available = detect(), cores()
    bound = launch.launcher in ("mpirun", "srun") and available < (os.cpu_count() or 1)
    return available if bound else max(1, available // launch.local_size)


def in_notebook() -> bool:
    """Returns whether this process is the kernel of a notebook, which shows pictures and widgets."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class OtherPrograms:
    """What other programs use, from now on, of the cores that this process may run on.

    Waiting for a disk or for the network counts as nobody's use. What the host of a virtual machine takes
    away counts as others' use.
    """

    def __init__(self) -> None:
        self._start = _core_times()

    def share(self) -> float:
        """Returns their share of the cores' time so far, from 0 to 1; 0 where the system does not tell."""
        return self.shares()[0]

    def shares(self) -> tuple[float, float]:
        """Returns their share, and how much of all time the host of a virtual machine took, from 0 to 1."""
        total, busy, own, stolen = (now - then for now, then in zip(_core_times(), self._start))
        return (max(0.0, busy - own) / total, stolen / total) if total > 0 else (0.0, 0.0)

    def warning(self) -> str | None:
        """Returns what a user should know about a machine that others use as well, None where they do not."""
        share, stolen = self.shares()
        if share <= _BUSY:
            return None
        queue = run_queue()
        text = f"other programs took {share:.0%} of the cores' time"
        if stolen >= 0.01:
            text += f", {stolen:.0%} of all by the host of this virtual machine"
        if queue is not None:
            text += f"; {queue} threads run or wait for {cores()} cores"
        return text


def run_queue() -> int | None:
    """Returns how many threads of all programs run or wait for a core now; None where nothing tells."""
    try:
        with open("/proc/loadavg", encoding="ascii") as file:
            return int(file.read().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return None


def _core_times() -> tuple[float, float, float, float]:
    """Seconds since the machine started: of all cores, those they worked, this process's, those stolen."""
    own = sum(os.times()[:4])
    names = {f"cpu{number}" for number in getattr(os, "sched_getaffinity", lambda pid: ())(0)}
    try:
        with open("/proc/stat", encoding="ascii") as file:
            rows = [line.split() for line in file]
        # user, nice, system, idle, iowait, irq, softirq, steal
        times = [[int(text) for text in row[1:9]] for row in rows if row[0] in names]
        tick = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return 0.0, 0.0, own, 0.0
    total = sum(map(sum, times)) / tick
    worked = total - sum(row[3] + row[4] for row in times) / tick
    return total, worked, own, sum(row[7] for row in times) / tick
