"""The command line as one rank of tests/distributed/test_training.py, with trouble built in.

First argument: ``slow:RANK``, ``dies:RANK:N`` (SIGKILL at its Nth step, when it makes the file ``killed``),
``breaks:RANK:N`` (an exception at its Nth step),
``stops:RANK:N`` (an interrupt once its Nth step is queued, for which it waits for the others forever),
``gets:RANK:N`` (SIGTERM at its Nth step), ``leaves:RANK:N`` (SIGTERM at its Nth batch of evaluation),
``hangs:RANK:N`` (SIGSTOP at its Nth step),
``lags:RANK:N`` (a gradient of its Nth step is there some seconds late, and nothing else waits for it).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import gluon_ssd  # noqa: F401 - before MXNet, which needs it beside today's NumPy

# isort: split

import mxnet as mx

from gluon_ssd.cli import main
from gluon_ssd.data.transforms import SSDTrainTransform
from gluon_ssd.errors import UserError
from gluon_ssd.launch import detect
from gluon_ssd.predict import Detector
from gluon_ssd.training.distributed import HorovodWorld
from gluon_ssd.training.step import TrainStep


def before(owner, name, action):
    original = getattr(owner, name)

    def wrapped(*args, **kwargs):
        action(*args)
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def after(owner, name, action):
    original = getattr(owner, name)

    def wrapped(*args, **kwargs):
        result = original(*args, **kwargs)
        action(*args)
        return result

    setattr(owner, name, wrapped)


def end_at(nth, end):
    calls = []

    def count(*args):
        calls.append(1)
        if len(calls) == nth:
            end(*args)

    return count


def fail(*args):
    raise UserError("picture.jpg: cannot be read")


def die(*args):
    Path("killed").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def hang(*args):
    os.kill(os.getpid(), signal.SIGSTOP)


def terminate(*args):
    os.kill(os.getpid(), signal.SIGTERM)


def interrupt(*args):
    raise KeyboardInterrupt


def lag(world, gradients, *rest):
    late = mx.nd.zeros((2000, 2000))
    for _ in range(8):
        late = mx.nd.dot(late, late)
    gradients[0][:] = mx.nd.broadcast_add(gradients[0], late[:1, :1].reshape((1, 1, 1, 1)))


kind, rank, *nth = sys.argv[1].split(":")
if detect().rank == int(rank):
    if kind == "slow":
        before(SSDTrainTransform, "load", lambda *args: time.sleep(0.4))
    elif kind == "dies":
        before(TrainStep, "__call__", end_at(int(nth[0]), die))
    elif kind == "hangs":
        before(TrainStep, "__call__", end_at(int(nth[0]), hang))
    elif kind == "breaks":
        before(TrainStep, "__call__", end_at(int(nth[0]), fail))
    elif kind == "gets":
        before(TrainStep, "__call__", end_at(int(nth[0]), terminate))
    elif kind == "leaves":
        before(Detector, "detect_batch", end_at(int(nth[0]), terminate))
    elif kind == "stops":
        after(TrainStep, "__call__", end_at(int(nth[0]), interrupt))
    elif kind == "lags":
        lagging = end_at(int(nth[0]), lag)
        before(HorovodWorld, "allreduce", lambda *args: args[2][0].startswith("gradient") and lagging(*args))
elif kind == "stops":
    before(TrainStep, "__call__", end_at(int(nth[0]), lambda *args: time.sleep(60)))
sys.exit(main(sys.argv[2:]))
