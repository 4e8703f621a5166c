"""How many processor cores this process may use."""

from __future__ import annotations

import os


def cores() -> int:
    """Cores the process is allowed to run on, at least 1."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
