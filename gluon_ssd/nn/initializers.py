"""Initialisers of the references that MXNet does not have."""

from __future__ import annotations

import math
from typing import Any

from mxnet import init, nd, random


def _uniform(array: Any, bound: float) -> None:
    random.uniform(-bound, bound, shape=array.shape, dtype="float32", out=array)


@init.register
class TorchBias(init.Initializer):
    """Uniform in +-1 / sqrt(fan_in), PyTorch's default for the bias of a convolution of that fan-in."""

    def __init__(self, fan_in: int) -> None:
        super().__init__(fan_in=fan_in)
        self._bound = 1 / math.sqrt(fan_in)

    def _init_weight(self, name: str, arr: Any) -> None:
        _uniform(arr, self._bound)


@init.register
class FusedHeadXavier(init.Initializer):
    """Xavier uniform for a class-then-box convolution, each segment with the fan of a convolution of its own.

    ``class_channels``: output channels of the first segment; the rest is the second. Source: Glorot and
    Bengio, "Understanding the difficulty of training deep feedforward networks" (2010); the references have
    two separate convolutions.
    """

    def __init__(self, class_channels: int) -> None:
        super().__init__(class_channels=class_channels)
        self._class_channels = class_channels

    def _init_weight(self, name: str, arr: Any) -> None:
        field = arr.shape[2] * arr.shape[3]
        parts = []
        for channels in (self._class_channels, arr.shape[0] - self._class_channels):
            part = nd.empty((channels,) + arr.shape[1:], ctx=arr.context)
            _uniform(part, math.sqrt(6 / ((arr.shape[1] + channels) * field)))
            parts.append(part)
        arr[:] = nd.concat(*parts, dim=0)
