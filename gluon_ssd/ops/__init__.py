"""Chooses the MXNet operators of which the layers of `gluon_ssd.nn` are made on this machine."""

from __future__ import annotations

from functools import cache

import mxnet as mx

from .emulated import EmulatedOps, training_graph
from .nvidia import Features, NvidiaOps, detect_features
from .stock import LOW_PRECISION, StockOps, activate

__all__ = [
    "LOW_PRECISION",
    "EmulatedOps",
    "Features",
    "NvidiaOps",
    "StockOps",
    "activate",
    "detect_features",
    "report",
    "select",
    "training_graph",
]


@cache
def select(device: str) -> StockOps:
    """Returns the operators for a network on ``device``, ``cpu`` or ``gpu``.

    This is the only place where they are chosen.
    """
    if device == "cpu":
        return EmulatedOps()
    features = detect_features(mx.sym)
    return NvidiaOps(features) if features else StockOps()


def report() -> dict[str, str]:
    """Returns, by device, what `select` chooses, in words."""
    count = mx.context.num_gpus()
    gpus = {"gpu": f"{select('gpu').name} ({count} found)" if count else "none found"}
    return {"cpu": select("cpu").name, **gpus}
