"""Prediction heads."""

from __future__ import annotations

from typing import Any

from mxnet.gluon import HybridBlock

from .initializers import FusedHeadXavier, TorchBias
from .layers import Conv2D

# oneDNN convolves fast where the output channels are whole vectors, tensor cores where they are a multiple
# of 8.
CHANNEL_MULTIPLE = 16


class ConvPredictor(HybridBlock):
    """One 3x3 convolution that gives both predictions of a feature map, class channels first.

    (B, in_channels, H, W) to logits (B, H * W * boxes, channels) and codes (B, H * W * boxes, 4), by row,
    column, then box of the cell. ``boxes``: default boxes per cell; ``channels``: logits per box.
    """

    def __init__(self, in_channels: int, boxes: int, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._boxes, self._channels = boxes, channels
        with self.name_scope():
            self.conv = Conv2D(
                boxes * (channels + 4),
                3,
                padding=1,
                in_channels=in_channels,
                use_bias=True,
                weight_initializer=FusedHeadXavier(boxes * channels),
                bias_initializer=TorchBias(in_channels * 9),
                channel_multiple=CHANNEL_MULTIPLE,
                prefix="conv0_",
            )

    def hybrid_forward(self, F: Any, x: Any) -> tuple[Any, Any]:
        fused = F.transpose(F.amp_cast(self.conv(x), dtype="float32"), (0, 2, 3, 1))
        middle, end = self._boxes * self._channels, self._boxes * (self._channels + 4)
        logits = F.slice_axis(fused, axis=3, begin=0, end=middle)
        codes = F.slice_axis(fused, axis=3, begin=middle, end=end)
        return F.reshape(logits, (0, -1, self._channels)), F.reshape(codes, (0, -1, 4))
