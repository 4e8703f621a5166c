"""What this process runs on: how many processor cores it may use, and whether it is a notebook."""

from __future__ import annotations

import os
import sys

from .launch import detect


def cores() -> int:
    """Cores the process is allowed to run on, at least 1."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def threads() -> int:
    """Cores this process should use, at least 1: its share, where several processes run on this machine.

    mpirun and srun may have given each process cores of its own; those are not divided again.
    """
    launch, available = detect(), cores()
    bound = launch.launcher in ("mpirun", "srun") and available < (os.cpu_count() or 1)
    return available if bound else max(1, available // launch.local_size)


def in_notebook() -> bool:
    """Says whether this process is the kernel of a notebook, which shows pictures and widgets."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
