"""torchvision's SSD300 on VGG-16, the network of the SSD paper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mxnet import init
from mxnet.gluon import HybridBlock, nn

from ..nn import Activation, Conv2D, MaxPool2D, current
from .base import Backbone
from .reference_names import Entry, class_entry, conv_entries
from .ssd import SSD

# Channels of the convolutions of each stage.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_INIT = init.Xavier("uniform", "avg", 3)


class ChannelScale(HybridBlock):
    """Every pixel's channels brought to length 1, then each channel times a learned number, from 20 on.

    Source: Liu et al., "ParseNet: Looking Wider to See Better" (2015), section 3.3.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        config = current()
        self._axis = config.channel_axis
        self._shape = (1, 1, 1, -1) if config.layout == "NHWC" else (1, -1, 1, 1)
        with self.name_scope():
            self.scale = self.params.get("scale", shape=(channels,), init=init.Constant(20))

    def hybrid_forward(self, F: Any, x: Any, scale: Any) -> Any:
        x, scale = F.amp_cast(x, dtype="float32"), F.amp_cast(scale, dtype="float32")
        length = F.sqrt(F.sum(x * x, axis=self._axis, keepdims=True) + 1e-24)
        return F.broadcast_mul(F.broadcast_div(x, length), F.reshape(scale, self._shape))


class VGGFeatures(Backbone):
    """VGG-16 up to its fourth stage, scaled, and with a fifth whose dense layers became convolutions.

    The first of these is dilated by 6. Source: Liu et al., "SSD: Single Shot MultiBox Detector" (2016),
    section 3.
    """

    feature_info = [(512, 8), (1024, 16)]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            # What freezing counts.
            self.parts = nn.HybridSequential(prefix="")
            in_channels = 3
            for index, channels in enumerate(STAGES):
                part = nn.HybridSequential(prefix=f"part{index + 1}_")
                with part.name_scope():
                    if index:
                        # A map of 75 pixels becomes one of 38.
                        part.add(MaxPool2D(2, 2, 0, ceil_mode=index == 3))
                    for width in channels:
                        part.add(_conv(in_channels, width, 3, padding=1), Activation())
                        in_channels = width
                    if index == 4:
                        part.add(MaxPool2D(3, 1, 1))
                        part.add(_conv(in_channels, 1024, 3, padding=6, dilation=6), Activation())
                        part.add(_conv(1024, 1024, 1), Activation())
                self.parts.add(part)
            self.scale = ChannelScale(512, prefix="scale_")

    def reference_names(self) -> list[Entry]:
        return list(self._entries())

    def _entries(self) -> Iterator[Entry]:
        convs = [[layer for layer in part if isinstance(layer, Conv2D)] for part in self.parts]
        # torchvision numbers convolutions, ReLUs and poolings in a row.
        number = 0
        for stage in convs[:-1]:
            for conv in stage:
                yield from conv_entries(conv, f"backbone.features.{number}")
                number += 2
            number += 1
        yield Entry(self.scale.scale.name, ("backbone.scale_weight",))
        for conv, place in zip(convs[-1], ("1", "3", "5", "7.1", "7.3")):
            yield from conv_entries(conv, f"backbone.extra.0.{place}")

    def hybrid_forward(self, F: Any, x: Any) -> list[Any]:
        for part in self.parts[:-1]:
            x = part(x)
        return [self.scale(x), self.parts[-1](x)]


def _conv(in_channels: int, channels: int, kernel: int, **options: Any) -> Conv2D:
    options = {"use_bias": True, "weight_initializer": _INIT, **options}
    return Conv2D(channels, kernel, in_channels=in_channels, **options)


class TorchvisionSSD(SSD):
    """An SSD that cuts boxes off at the edges and exchanges weights with torchvision's of 91 channels."""

    clip_boxes = True

    def reference_names(self) -> list[Entry]:
        return [*self.backbone.reference_names(), *self._extra_entries(), *self._head_entries()]

    def _extra_entries(self) -> Iterator[Entry]:
        for index, extra in enumerate(self.extras, 1):
            yield from conv_entries(extra.conv1, f"backbone.extra.{index}.0")
            yield from conv_entries(extra.conv2, f"backbone.extra.{index}.2")

    def _head_entries(self) -> Iterator[Entry]:
        heads = ("head.classification_head", "head.regression_head")
        for index, (predictor, boxes) in enumerate(zip(self.predictors, self.default_boxes.per_cell)):
            for parameter, leaf in ((predictor.conv.weight, "weight"), (predictor.conv.bias, "bias")):
                sources = tuple(f"{head}.module_list.{index}.{leaf}" for head in heads)
                yield class_entry(parameter.name, sources, boxes, self.classes)
