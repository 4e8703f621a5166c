"""The command line as one rank that is hit at a moment: `python rank_moments.py MOMENT NTH SIGNAL FILE ...`.

The words of the command follow. When the moment comes for the NTH time, FILE is made and the process sends
itself the signal; 0 sends none. Without a MOMENT, given as -, nothing happens.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Callable

# Before what imports MXNet, see the package.
import gluon_ssd  # noqa: F401
from gluon_ssd.predict import Detector
from gluon_ssd.training import distributed
from gluon_ssd.training.checkpoints import Checkpoints
from gluon_ssd.training.distributed import HorovodWorld
from gluon_ssd.training.step import TrainStep

# Where each moment is, and whether a call is meant, by its arguments.
MOMENTS: dict[str, tuple[Any, str, Callable[..., bool]]] = {
    "joining": (distributed, "_join", lambda *args: True),
    "step": (TrainStep, "__call__", lambda *args: True),
    # The sizes were exchanged already, and the others wait for the values.
    "gather": (HorovodWorld, "_sum", lambda world, array, name: name == "gather.value"),
    "evaluation": (Detector, "detect_batch", lambda *args: True),
    # Of rank 0 the whole file is written under another name; the other ranks wait for it.
    "checkpoint": (os, "replace", lambda source, target: str(target).endswith("last.ckpt")),
    "end of a checkpoint": (Checkpoints, "save_last", lambda *args: True),
}


def hit(moment: str, nth: int, number: int, sign: Path) -> None:
    """Has this process hit itself when ``moment`` comes for the nth time."""
    owner, name, meant = MOMENTS[moment]
    original, seen = getattr(owner, name), [0]

    def call(*args: Any, **kwargs: Any) -> Any:
        seen[0] += meant(*args)
        if meant(*args) and seen[0] == nth:
            sign.touch()
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)

    setattr(owner, name, call)


if __name__ == "__main__":
    if sys.argv[1] != "-":
        hit(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    from gluon_ssd.cli import main

    sys.exit(main(sys.argv[5:]))
