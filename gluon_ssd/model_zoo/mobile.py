"""What small networks are made of: a convolution with its norm and activation."""

from __future__ import annotations

from typing import Any, Callable

from mxnet import init
from mxnet.gluon import HybridBlock, nn

from ..nn import Conv2D

Norm = Callable[..., HybridBlock]


def conv_norm(
    norm: Norm,
    in_channels: int,
    channels: int,
    kernel: int,
    stride: int = 1,
    *,
    act: str | None = "relu6",
    depthwise: bool = False,
    prefix: str = "",
    **options: Any,
) -> nn.HybridSequential:
    """A convolution padded by half its kernel, its norm, and ``act``; ``options`` are `Conv2D`'s."""
    options = {"padding": kernel // 2, **options}
    if depthwise:
        # By fan-out, which counts all channels, a depthwise convolution would start with next to nothing.
        options = {"weight_initializer": init.MSRAPrelu("in", slope=0), **options, "groups": channels}
    layers = nn.HybridSequential(prefix=prefix)
    with layers.name_scope():
        layers.add(Conv2D(channels, kernel, stride, in_channels=in_channels, **options))
        layers.add(norm(channels, act=act))
    return layers
