"""The feature pyramid, and the heads that run over its levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mxnet import init
from mxnet.gluon import HybridBlock, nn

from .config import current
from .layers import Activation, Conv2D, GroupNorm
from .predictor import channels_last

# Uniform in +-sqrt(3 / fan_in), as in torchvision's pyramid.
_PYRAMID_INIT = init.Xavier("uniform", "in", 3)


class FeaturePyramid(HybridBlock):
    """Makes maps of equal width on five levels, P3 to P7, from three maps of the backbone.

    It takes the maps from fine to coarse and returns a list of five, from fine to coarse, of ``channels``
    channels each. P6 is computed from P5, or with ``p6_from_backbone`` from the last map of the backbone, and
    P7 from P6. Source: Lin et al., "Feature Pyramid Networks for Object Detection" (2017), with the extra
    levels of RetinaNet.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        *,
        p6_from_backbone: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._p6_from_backbone = p6_from_backbone
        config = current()
        self._ops, self._layout = config.ops, config.layout
        self._space = tuple(axis for axis in (1, 2, 3) if axis != config.channel_axis)
        with self.name_scope():
            self.laterals = nn.HybridSequential(prefix="")
            self.outputs = nn.HybridSequential(prefix="")
            for index, width in enumerate(in_channels):
                self.laterals.add(self._conv(channels, 1, width, prefix=f"lateral{index}_"))
                self.outputs.add(self._conv(channels, 3, channels, prefix=f"output{index}_"))
            below_p6 = in_channels[-1] if p6_from_backbone else channels
            self.p6 = self._conv(channels, 3, below_p6, strides=2, prefix="p6_")
            self.p7 = self._conv(channels, 3, channels, strides=2, prefix="p7_")
            self.relu = Activation()

    @staticmethod
    def _conv(channels: int, kernel: int, in_channels: int, **kwargs: Any) -> Conv2D:
        return Conv2D(
            channels,
            kernel,
            padding=kernel // 2,
            in_channels=in_channels,
            use_bias=True,
            weight_initializer=_PYRAMID_INIT,
            **kwargs,
        )

    def hybrid_forward(self, F: Any, *features: Any) -> list[Any]:
        # The maps are added in float32, because MXNet cannot up-sample 16-bit maps on every device.
        merged = [
            F.amp_cast(lateral(feature), dtype="float32") for lateral, feature in zip(self.laterals, features)
        ]
        for level in range(len(merged) - 2, -1, -1):
            upper = self._ops.upsample(F, merged[level + 1], layout=self._layout)
            # Halving rounds up, so the doubled map may have one row or column more than the finer one.
            merged[level] = merged[level] + F.slice_like(upper, merged[level], axes=self._space)
        levels = [output(level) for output, level in zip(self.outputs, merged)]
        levels.append(self.p6(features[-1] if self._p6_from_backbone else levels[-1]))
        levels.append(self.p7(self.relu(levels[-1])))
        return levels


class PyramidHead(HybridBlock):
    """Four convolutions with ReLU and an output convolution, with the same weights on every level.

    It turns a map (B, in_channels, H, W) into (B, H * W * anchors, channels), in the order of row, column and
    anchor. ``prior`` is the probability that an untrained output stands for; None where the output is no
    probability. With ``group_norm`` each of the four is followed by a `GroupNorm` in place of its bias.
    Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), section 4.
    """

    def __init__(
        self,
        in_channels: int,
        anchors: int,
        channels: int,
        prior: float | None = None,
        *,
        group_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._channels, self._used, self._layout = channels, anchors * channels, current().layout
        # The sigmoid of this bias is `prior`. Without it the many background anchors, each at probability
        # 0.5, would dominate the first steps (section 3.3 of the paper).
        bias = "zeros" if prior is None else init.Constant(-math.log((1 - prior) / prior))
        with self.name_scope():
            self.convs = nn.HybridSequential(prefix="")
            for _ in range(4):
                self.convs.add(self._conv(in_channels, in_channels, use_bias=not group_norm))
                self.convs.add(GroupNorm(in_channels, act="relu") if group_norm else Activation())
            self.output = self._conv(
                self._used,
                in_channels,
                bias_initializer=bias,
                pad_channels=True,
                prefix="output_",
            )

    @staticmethod
    def _conv(channels: int, in_channels: int, use_bias: bool = True, **kwargs: Any) -> Conv2D:
        return Conv2D(
            channels,
            3,
            padding=1,
            in_channels=in_channels,
            use_bias=use_bias,
            weight_initializer=init.Normal(0.01),
            **kwargs,
        )

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        x = channels_last(F, self.output(self.convs(x)), self._layout)
        # The rest is the padding of the output convolution.
        x = F.slice_axis(x, axis=3, begin=0, end=self._used)
        return F.reshape(x, (0, -1, self._channels))
