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


class InLayout(init.Initializer):
    """Another initialiser, for a convolution weight that is kept as OHWI.

    It sees the weight as OIHW, so that its fans are right and a seed gives the same values in both layouts.
    """

    def __init__(self, inner: init.Initializer) -> None:
        super().__init__()
        self._inner = inner

    @classmethod
    def of(cls, initializer: Any, layout: str) -> Any:
        """``initializer`` as it is for NCHW, wrapped for NHWC."""
        return initializer if layout == "NCHW" else cls(init.create(initializer))

    def dumps(self) -> str:
        return self._inner.dumps()

    def _init_weight(self, name: str, arr: Any) -> None:
        weight = nd.empty(tuple(arr.shape[axis] for axis in (0, 3, 1, 2)), ctx=arr.context)
        self._inner._init_weight(name, weight)
        arr[:] = weight.transpose((0, 2, 3, 1))
