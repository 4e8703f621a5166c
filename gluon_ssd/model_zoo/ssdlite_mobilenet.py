"""torchvision's SSDLite320 on MobileNetV3-Large."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from mxnet.gluon import HybridBlock, nn

from ..nn import Conv2D, GlobalAvgPool2D
from ..nn import norm as trained_norm
from .base import Backbone
from .efficientnet import EPSILON
from .mobile import conv_norm
from .reference_names import Entry, class_entry, conv_entries, layer_entries
from .ssdlite import SSDLite

_conv_norm = partial(conv_norm, partial(trained_norm, epsilon=EPSILON))
# Kernel, channels inside, channels, squeeze-excitation, activation and stride of every block, of the variant
# whose last three have half the channels. Source: Howard et al., "Searching for MobileNetV3" (2019), table 1
# and section 6.3.
BLOCKS = (
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hard_swish", 2),
    (3, 200, 80, False, "hard_swish", 1),
    (3, 184, 80, False, "hard_swish", 1),
    (3, 184, 80, False, "hard_swish", 1),
    (3, 480, 112, True, "hard_swish", 1),
    (3, 672, 112, True, "hard_swish", 1),
    (5, 672, 80, True, "hard_swish", 2),
    (5, 480, 80, True, "hard_swish", 1),
    (5, 480, 80, True, "hard_swish", 1),
)
LAST_CHANNELS = 480
# The block whose inside, before its depthwise convolution, is the finest map to predict from.
_TAPPED = 12


class SqueezeExcitation(HybridBlock):
    """Every channel times a number from 0 to 1 that depends on the means of all.

    Source: Hu et al., "Squeeze-and-Excitation Networks" (2018), with MobileNetV3's piecewise linear sigmoid.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        fewer = max(8, (channels // 4 + 4) // 8 * 8)
        fewer = fewer if fewer >= 0.9 * (channels // 4) else fewer + 8
        with self.name_scope():
            self.pool = GlobalAvgPool2D()
            self.squeeze = Conv2D(fewer, 1, in_channels=channels, use_bias=True, prefix="squeeze_")
            self.excite = Conv2D(channels, 1, in_channels=fewer, use_bias=True, prefix="excite_")

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        weight = F.amp_cast(F.relu(self.squeeze(self.pool(x))), dtype="float32")
        weight = F.amp_cast(self.excite(weight), dtype="float32")
        x = F.amp_cast(x, dtype="float32")
        return F.broadcast_mul(x, F.clip(weight + 3, a_min=0, a_max=6) / 6)


class MobileBlock(HybridBlock):
    """An inverted residual of MobileNetV3, given by a row of `BLOCKS`."""

    def __init__(self, in_channels: int, row: tuple[Any, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        kernel, inner, channels, excited, act, stride = row
        self._residual = stride == 1 and in_channels == channels
        with self.name_scope():
            self.expand = None
            if inner != in_channels:
                self.expand = _conv_norm(in_channels, inner, 1, act=act, prefix="expand_")
            self.depthwise = _conv_norm(
                inner, inner, kernel, stride, act=act, depthwise=True, prefix="depthwise_"
            )
            self.excitation = SqueezeExcitation(inner, prefix="excitation_") if excited else None
            self.project = _conv_norm(inner, channels, 1, act=None, prefix="project_")

    def reduce(self, expanded: Any) -> Any:
        """What follows the expansion, without the residual."""
        x = self.depthwise(expanded)
        return self.project(x if self.excitation is None else self.excitation(x))

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        reduced = self.reduce(x if self.expand is None else self.expand(x))
        if not self._residual:
            return reduced
        # In mixed precision one of them may be of 16 bits.
        return F.amp_cast(reduced, dtype="float32") + F.amp_cast(x, dtype="float32")

    def entries(self, source: str, first: int = 0) -> Iterator[Entry]:
        """The names of its tensors in torchvision, whose layers are numbered from ``first``."""
        parts = [self.depthwise, self.excitation, self.project]
        if first == 0 and self.expand is not None:
            parts.insert(0, self.expand)
        for number, part in enumerate((part for part in parts if part is not None), first):
            name = f"{source}.{number}"
            if isinstance(part, SqueezeExcitation):
                yield from conv_entries(part.squeeze, f"{name}.fc1")
                yield from conv_entries(part.excite, f"{name}.fc2")
            else:
                yield from layer_entries(part, f"{name}.0", f"{name}.1")


class MobileNetV3(Backbone):
    """MobileNetV3-Large; maps of stride 16, inside a block, and 32."""

    feature_info = [(BLOCKS[_TAPPED][1], 16), (LAST_CHANNELS, 32)]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.stem = _conv_norm(3, 16, 3, 2, act="hard_swish", prefix="stem_")
            self.blocks = nn.HybridSequential(prefix="")
            channels = 16
            for number, row in enumerate(BLOCKS):
                self.blocks.add(MobileBlock(channels, row, prefix=f"block{number}_"))
                channels = row[2]
            self.head = _conv_norm(channels, LAST_CHANNELS, 1, act="hard_swish", prefix="head_")

    @property
    def parts(self) -> list[HybridBlock]:
        """The stem, what lies between two halvings, and the head, in the order of `Network.freeze`."""
        starts = [number for number, row in enumerate(BLOCKS) if row[-1] == 2]
        ends = [*starts, len(BLOCKS)]
        return [self.stem, *(self.blocks[start:end] for start, end in zip([0, *starts], ends)), self.head]

    def hybrid_forward(self, F: Any, x: Any) -> list[Any]:
        x = self.stem(x)
        for block in self.blocks[:_TAPPED]:
            x = block(x)
        tapped = self.blocks[_TAPPED]
        fine = tapped.expand(x)
        x = tapped.reduce(fine)
        for block in self.blocks[_TAPPED + 1 :]:
            x = block(x)
        return [fine, self.head(x)]

    def reference_names(self) -> list[Entry]:
        return list(self._entries("backbone.features"))

    def _entries(self, source: str) -> Iterator[Entry]:
        """By their names in torchvision's SSDLite, which cuts it in two at the tapped block."""
        yield from layer_entries(self.stem, f"{source}.0.0.0", f"{source}.0.0.1")
        for number, block in enumerate(self.blocks[:_TAPPED], 1):
            yield from block.entries(f"{source}.0.{number}.block")
        tapped = self.blocks[_TAPPED]
        cut = f"{source}.0.{_TAPPED + 1}"
        yield from layer_entries(tapped.expand, f"{cut}.0", f"{cut}.1")
        yield from tapped.entries(f"{source}.1.0", first=1)
        rest = self.blocks[_TAPPED + 1 :]
        for number, block in enumerate(rest, 1):
            yield from block.entries(f"{source}.1.{number}.block")
        last = f"{source}.1.{len(rest) + 1}"
        yield from layer_entries(self.head, f"{last}.0", f"{last}.1")


class TorchvisionSSDLite(SSDLite):
    """An SSDLite that cuts boxes off at the edges and exchanges weights with torchvision's of 91 channels."""

    clip_boxes = True

    def reference_names(self) -> list[Entry]:
        return [*self.backbone.reference_names(), *self._extra_entries(), *self._head_entries()]

    def _extra_entries(self) -> Iterator[Entry]:
        for index, extra in enumerate(self.extras):
            for number, layers in enumerate((extra.squeeze, extra.depthwise, extra.expand)):
                name = f"backbone.extra.{index}.{number}"
                yield from layer_entries(layers, f"{name}.0", f"{name}.1")

    def _head_entries(self) -> Iterator[Entry]:
        for index, (predictor, boxes) in enumerate(zip(self.predictors, self.default_boxes.per_cell)):
            for head, title in ((predictor.classes, "classification"), (predictor.boxes, "regression")):
                name = f"head.{title}_head.module_list.{index}"
                yield from layer_entries(head.depthwise, f"{name}.0.0", f"{name}.0.1")
                for entry in conv_entries(head.conv, f"{name}.1"):
                    if head is predictor.classes:
                        entry = class_entry(entry.name, entry.sources, boxes, self.classes)
                    yield entry
