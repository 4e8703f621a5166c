"""SSDLite: an SSD whose extra layers and predictions are depthwise separable."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from mxnet import init
from mxnet.gluon import HybridBlock

from ..nn import Conv2D, channels_last, current
from ..nn import norm as trained_norm
from .base import HeadRows
from .efficientnet import EPSILON
from .mobile import conv_norm
from .specs import ExtraLayer
from .ssd import SSD

# torchvision's, for every layer that is not of the backbone.
_INIT = init.Normal(0.03)
_conv_norm = partial(conv_norm, partial(trained_norm, epsilon=EPSILON), weight_initializer=_INIT)


class LiteExtraBlock(HybridBlock):
    """The network of an `ExtraLayer`, whose 3x3 convolution is depthwise and followed by a 1x1."""

    def __init__(self, layer: ExtraLayer, in_channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        middle, step, padding = layer.middle, layer.stride, layer.padding
        with self.name_scope():
            self.squeeze = _conv_norm(in_channels, middle, 1, prefix="squeeze_")
            self.depthwise = _conv_norm(
                middle, middle, 3, step, depthwise=True, padding=padding, prefix="depthwise_"
            )
            self.expand = _conv_norm(middle, layer.channels, 1, prefix="expand_")

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.expand(self.depthwise(self.squeeze(x)))


class SeparableHead(HybridBlock):
    """A 3x3 depthwise convolution with norm and ReLU6, then a 1x1: (B, H * W * boxes, channels)."""

    def __init__(self, in_channels: int, boxes: int, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._count, self._channels, self._layout = boxes * channels, channels, current().layout
        with self.name_scope():
            self.depthwise = _conv_norm(in_channels, in_channels, 3, depthwise=True, prefix="depthwise_")
            self.conv = Conv2D(
                self._count,
                1,
                in_channels=in_channels,
                use_bias=True,
                weight_initializer=_INIT,
                pad_channels=True,
                prefix="conv0_",
            )

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        x = channels_last(F, self.conv(self.depthwise(x)), self._layout)
        return F.reshape(F.slice_axis(x, axis=3, begin=0, end=self._count), (0, -1, self._channels))


class SeparablePredictor(HybridBlock):
    """Both predictions of a feature map, as `ConvPredictor` gives them, each by a head of its own."""

    def __init__(self, in_channels: int, boxes: int, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.classes = SeparableHead(in_channels, boxes, channels, prefix="classes_")
            self.boxes = SeparableHead(in_channels, boxes, 4, prefix="boxes_")

    def hybrid_forward(self, F: Any, x: Any) -> tuple[Any, Any]:
        return self.classes(x), self.boxes(x)


class SSDLite(SSD):
    """SSD with depthwise separable extra layers and predictors.

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018), section 6.2.
    """

    def _extra_block(self, layer: ExtraLayer, in_channels: int, index: int) -> HybridBlock:
        return LiteExtraBlock(layer, in_channels, prefix=f"extra{index}_")

    def _predictor(self, channels: int, boxes: int, index: int) -> HybridBlock:
        return SeparablePredictor(channels, boxes, len(self.classes) + 1, prefix=f"predictor{index}_")

    def head_rows(self, classes: Sequence[str]) -> HeadRows:
        table = {}
        for predictor, boxes, ours, theirs in self._class_rows(classes):
            for parameter in (predictor.classes.conv.weight, predictor.classes.conv.bias):
                table[parameter.name] = (ours, theirs, boxes * (len(classes) + 1))
        return table
