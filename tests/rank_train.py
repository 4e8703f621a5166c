"""The command line as one rank of tests/distributed/test_training.py, with trouble built in.

First argument: ``slow:RANK``, ``dies:RANK:N`` (SIGKILL at its Nth step), ``breaks:RANK:N`` (an exception),
``stops:RANK:N`` (an interrupt once its Nth step is queued, for which it waits for the others forever).
"""

from __future__ import annotations

import os
import signal
import sys
import time

from gluon_ssd.cli import main
from gluon_ssd.data.transforms import SSDTrainTransform
from gluon_ssd.engine.step import TrainStep
from gluon_ssd.engine.watch import LossWatch
from gluon_ssd.errors import UserError
from gluon_ssd.launch import detect


def before(owner, name, action):
    original = getattr(owner, name)

    def wrapped(*args, **kwargs):
        action()
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def end_at(nth, end):
    calls = []

    def count():
        calls.append(1)
        if len(calls) == nth:
            end()

    return count


def fail():
    raise UserError("picture.jpg: cannot be read")


def interrupt():
    raise KeyboardInterrupt


kind, rank, *nth = sys.argv[1].split(":")
if detect().rank == int(rank):
    if kind == "slow":
        before(SSDTrainTransform, "load", lambda: time.sleep(0.4))
    elif kind == "dies":
        before(TrainStep, "__call__", end_at(int(nth[0]), lambda: os.kill(os.getpid(), signal.SIGKILL)))
    elif kind == "breaks":
        before(TrainStep, "__call__", end_at(int(nth[0]), fail))
    elif kind == "stops":
        before(LossWatch, "next", end_at(int(nth[0]), interrupt))
elif kind == "stops":
    before(TrainStep, "__call__", end_at(int(nth[0]), lambda: time.sleep(60)))
sys.exit(main(sys.argv[2:]))
