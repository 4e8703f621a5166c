"""Initialisers that the references use and MXNet does not have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from mxnet import init, nd, random


def _uniform(array: Any, bound: float) -> None:
    random.uniform(-bound, bound, shape=array.shape, dtype="float32", out=array)


@init.register
class TorchBias(init.Initializer):
    """Draws uniformly from +-1 / sqrt(fan_in), PyTorch's default for the bias of a convolution."""

    def __init__(self, fan_in: int) -> None:
        super().__init__(fan_in=fan_in)
        self._bound = 1 / math.sqrt(fan_in)

    def _init_weight(self, name: str, arr: Any) -> None:
        _uniform(arr, self._bound)


@init.register
class FusedHeadXavier(init.Initializer):
    """Draws the weight of a convolution that predicts classes and boxes, by Xavier's uniform rule.

    The first ``class_channels`` output channels predict classes, the others boxes. Source: Glorot and Bengio,
    "Understanding the difficulty of training deep feedforward neural networks" (2010).
    """

    def __init__(self, class_channels: int) -> None:
        super().__init__(class_channels=class_channels)
        self._class_channels = class_channels

    def _init_weight(self, name: str, arr: Any) -> None:
        # The references have two convolutions. Xavier's bound depends on the number of output channels, so
        # each part gets the bound that its own convolution would have.
        field = arr.shape[2] * arr.shape[3]
        parts = []
        for channels in (self._class_channels, arr.shape[0] - self._class_channels):
            part = nd.empty((channels,) + arr.shape[1:], ctx=arr.context)
            _uniform(part, math.sqrt(6 / ((arr.shape[1] + channels) * field)))
            parts.append(part)
        arr[:] = nd.concat(*parts, dim=0)


class Values(init.Initializer):
    """Gives a parameter that is not trained its ``values``.

    `gluon.Constant` does so by a class that it enters into MXNet's list of initialisers. Nothing leaves that
    list, so that the values of every network that was ever built would stay in memory.
    """

    def __init__(self, values: np.ndarray) -> None:
        super().__init__()
        self._values = values

    def dumps(self) -> str:
        # A symbol keeps the initialiser of its variable as text; the values are in the file of parameters.
        return str(init.Zero().dumps())

    def _init_weight(self, name: str, arr: Any) -> None:
        arr[:] = self._values


class InLayout(init.Initializer):
    """Applies another initialiser to a convolution weight that is kept as OHWI.

    The other one sees the weight as OIHW, so that its fans are right and a seed gives the same values in both
    layouts.
    """

    def __init__(self, inner: init.Initializer) -> None:
        super().__init__()
        self._inner = inner

    @classmethod
    def of(cls, initializer: Any, layout: str) -> Any:
        """Returns ``initializer`` itself for NCHW, and wrapped for NHWC."""
        return initializer if layout == "NCHW" else cls(init.create(initializer))

    def dumps(self) -> str:
        # A symbol keeps the initialiser of its variable as text, in which MXNet knows only registered ones.
        return self._inner.dumps()

    def _init_weight(self, name: str, arr: Any) -> None:
        weight = nd.empty(tuple(arr.shape[axis] for axis in (0, 3, 1, 2)), ctx=arr.context)
        self._inner._init_weight(name, weight)
        arr[:] = weight.transpose((0, 2, 3, 1))
