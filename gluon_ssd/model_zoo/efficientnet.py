"""EfficientNet-Lite as a backbone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from mxnet.gluon import HybridBlock, nn

from ..nn import norm as trained_norm
from .base import Backbone
from .mobile import Norm, conv_norm
from .reference_names import Entry, layer_entries
from .specs import EfficientNetSpec, StageSpec

# Keras's epsilon, with which the published weights were trained.
EPSILON = 1e-3


class InvertedResidual(HybridBlock):
    """Channels expanded, a depthwise convolution, and fewer channels again. ``even``: the input's side is.

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018).
    """

    def __init__(
        self, in_channels: int, stage: StageSpec, stride: int, even: bool, norm: Norm, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        inner, channels = in_channels * stage.expansion, stage.channels
        self.expanded_channels = inner
        self._residual = stride == 1 and in_channels == channels
        with self.name_scope():
            self.expand = None
            if inner != in_channels:
                self.expand = conv_norm(norm, in_channels, inner, 1, prefix="expand_")
            self.depthwise = conv_norm(
                norm,
                inner,
                inner,
                stage.kernel,
                stride,
                depthwise=True,
                late_start=stride == 2 and even,
                prefix="depthwise_",
            )
            self.project = conv_norm(norm, inner, channels, 1, act=None, prefix="project_")

    def reduce(self, expanded: Any) -> Any:
        """What follows the expansion, without the residual."""
        return self.project(self.depthwise(expanded))

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        reduced = self.reduce(x if self.expand is None else self.expand(x))
        return reduced + x if self._residual else reduced


class EfficientNet(Backbone):
    """Stem, stages of inverted residuals and a last 1x1 convolution, the head.

    Returns a map for each of ``strides``, fine to coarse: the last of that stride, that of 32 being the
    head's. With ``expanded`` a finer map is the one inside the block that halves it, before its depthwise
    convolution, which is what SSDLite predicts from. ``image_size``: of the square images it is for, None is
    the published one. Where windows lie depends on whether a map's side is even, as in TensorFlow's SAME
    padding; images of other sizes are taken, with windows as for these.
    """

    def __init__(
        self,
        spec: EfficientNetSpec,
        image_size: int | None = None,
        strides: Sequence[int] = (4, 8, 16, 32),
        expanded: bool = False,
        norm: Norm = trained_norm,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._strides, self._expanded = tuple(strides), expanded
        norm = partial(norm, epsilon=EPSILON)
        side = spec.image_size if image_size is None else image_size
        channels = spec.stem_channels
        with self.name_scope():
            self.stem = conv_norm(norm, 3, channels, 3, 2, late_start=side % 2 == 0, prefix="stem_")
            side = -(-side // 2)
            self.blocks = nn.HybridSequential(prefix="")
            # Number of the first block of each stage, and of the block that halves the map of a stride.
            self._starts: list[int] = []
            self._halving: dict[int, int] = {}
            stride = 2
            for stage in spec.stages:
                self._starts.append(len(self.blocks))
                for step in (stage.stride, *[1] * (stage.depth - 1)):
                    number = len(self.blocks)
                    even = side % 2 == 0
                    block = InvertedResidual(channels, stage, step, even, norm, prefix=f"block{number}_")
                    self.blocks.add(block)
                    if step == 2:
                        self._halving[number] = stride
                        stride, side = stride * 2, -(-side // 2)
                    channels = stage.channels
            self.head = conv_norm(norm, channels, spec.head_channels, 1, prefix="head_")
        self.feature_info = list(self._feature_info(spec))

    def _feature_info(self, spec: EfficientNetSpec) -> Iterator[tuple[int, int]]:
        outputs = [stage.channels for stage in spec.stages for _ in range(stage.depth)]
        for number, stride in self._halving.items():
            if stride in self._strides:
                inner = self.blocks[number].expanded_channels
                yield (inner if self._expanded else outputs[number - 1]), stride
        if 32 in self._strides:
            yield spec.head_channels, 32

    @property
    def parts(self) -> list[HybridBlock]:
        """The stem, the stages and the head, in the order of `Network.freeze`."""
        ends = [*self._starts[1:], len(self.blocks)]
        stages = [self.blocks[start:end] for start, end in zip(self._starts, ends)]
        return [self.stem, *stages, self.head]

    def reference_names(self) -> list[Entry]:
        return list(self._entries())

    def _entries(self) -> Iterator[Entry]:
        yield from layer_entries(self.stem, "_conv_stem", "_bn0")
        for number, block in enumerate(self.blocks):
            source = f"_blocks.{number}."
            if block.expand is not None:
                yield from layer_entries(block.expand, f"{source}_expand_conv", f"{source}_bn0")
            yield from layer_entries(block.depthwise, f"{source}_depthwise_conv", f"{source}_bn1")
            yield from layer_entries(block.project, f"{source}_project_conv", f"{source}_bn2")
        yield from layer_entries(self.head, "_conv_head", "_bn1")

    def hybrid_forward(self, F: Any, x: Any) -> list[Any]:
        x = self.stem(x)
        outputs = []
        for number, block in enumerate(self.blocks):
            wanted = self._halving.get(number) in self._strides
            if wanted and self._expanded:
                outputs.append(block.expand(x))
                x = block.reduce(outputs[-1])
                continue
            if wanted:
                outputs.append(x)
            x = block(x)
        return [*outputs, self.head(x)] if 32 in self._strides else outputs
