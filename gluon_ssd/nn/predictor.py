"""The prediction layer of SSD."""

from __future__ import annotations

from typing import Any

from mxnet.gluon import HybridBlock

from .config import current
from .initializers import FusedHeadXavier, TorchBias
from .layers import Conv2D


class ConvPredictor(HybridBlock):
    """One 3x3 convolution that makes both predictions of a feature map.

    It turns (B, in_channels, H, W) into logits (B, H * W * boxes, channels) and deltas (B, H * W * boxes, 4),
    in the order of row, column, and box of the cell. ``boxes`` is the number of default boxes per cell,
    ``channels`` the number of logits per box. The convolution's class channels come before its box channels.
    With ``strides`` there are cells for every so many pixels of the map in each direction only.
    """

    def __init__(
        self, in_channels: int, boxes: int, channels: int, strides: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._boxes, self._channels, self._layout = boxes, channels, current().layout
        with self.name_scope():
            self.conv = Conv2D(
                boxes * (channels + 4),
                3,
                strides,
                padding=1,
                in_channels=in_channels,
                use_bias=True,
                weight_initializer=FusedHeadXavier(boxes * channels),
                bias_initializer=TorchBias(in_channels * 9),
                pad_channels=True,
                prefix="conv0_",
            )

    def hybrid_forward(self, F: Any, x: Any) -> tuple[Any, Any]:
        # With the channels last, a reshape alone brings the boxes of a cell into the order of the anchors.
        fused = channels_last(F, self.conv(x), self._layout)
        middle, end = self._boxes * self._channels, self._boxes * (self._channels + 4)
        logits = F.slice_axis(fused, axis=3, begin=0, end=middle)
        # Channels beyond `end` are the convolution's padding.
        deltas = F.slice_axis(fused, axis=3, begin=middle, end=end)
        return F.reshape(logits, (0, -1, self._channels)), F.reshape(deltas, (0, -1, 4))


def channels_last(F: Any, x: Any, layout: str) -> Any:
    """Returns the map of a head as (B, H, W, channels) in float32."""
    # The cast comes first, because MXNet cannot transpose bfloat16.
    x = F.amp_cast(x, dtype="float32")
    return x if layout == "NHWC" else F.transpose(x, (0, 2, 3, 1))
