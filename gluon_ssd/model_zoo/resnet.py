"""Residual networks as backbones."""

from __future__ import annotations

from typing import Any, Callable

from mxnet.gluon import HybridBlock, nn

from ..nn import Conv2D, MaxPool2D
from ..nn import norm as trained_norm
from .base import Backbone
from .reference_names import Entry, resnet_entries
from .specs import ResNetSpec

Norm = Callable[..., HybridBlock]


class ResidualBlock(HybridBlock):
    """Convolutions with norms, and a shortcut.

    ``convolutions`` are the (convolution, norm) pairs of the residual path. Source: He et al., "Deep Residual
    Learning for Image Recognition" (2016).
    """

    def __init__(
        self, spec: ResNetSpec, in_channels: int, channels: int, stride: int, norm: Norm, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.convolutions: list[tuple[HybridBlock, HybridBlock]] = []
        with self.name_scope():
            previous = in_channels
            rows = (
                self._bottleneck(spec, channels, stride) if spec.bottleneck else self._basic(channels, stride)
            )
            for number, (width, kernel, step, groups) in enumerate(rows, 1):
                conv = Conv2D(
                    width,
                    kernel,
                    step,
                    kernel // 2,
                    in_channels=previous,
                    groups=groups,
                    # cuDNN may have no algorithm on tensor cores for a grouped convolution, and to insist on
                    # one would then end the process.
                    tensor_cores=groups == 1,
                )
                self.convolutions.append((conv, norm(width, act="relu")))
                # Gluon does not find blocks in a list of pairs by itself.
                self.register_child(conv, f"conv{number}")
                self.register_child(self.convolutions[-1][1], f"norm{number}")
                previous = width
            self.shortcut = None
            if stride != 1 or in_channels != channels:
                self.shortcut = nn.HybridSequential(prefix="")
                conv = Conv2D(channels, 1, stride, in_channels=in_channels, tensor_cores=True)
                self.shortcut.add(conv, norm(channels))

    @staticmethod
    def _basic(channels: int, stride: int) -> list[tuple[int, int, int, int]]:
        """Returns (channels, kernel, stride, groups) of each convolution."""
        return [(channels, 3, stride, 1), (channels, 3, 1, 1)]

    @staticmethod
    def _bottleneck(spec: ResNetSpec, channels: int, stride: int) -> list[tuple[int, int, int, int]]:
        """Returns (channels, kernel, stride, groups) of each convolution.

        Source of the grouped one: Xie et al., "Aggregated Residual Transformations for Deep Neural Networks"
        (2017).
        """
        # The stride is on the 3x3 convolution ("v1.5"); the paper of 2016 has it on the first 1x1.
        width = channels // 4 * spec.width // 64 * spec.groups
        return [(width, 1, 1, 1), (width, 3, stride, spec.groups), (channels, 1, 1, 1)]

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        residual = x if self.shortcut is None else self.shortcut(x)
        for conv, norm in self.convolutions[:-1]:
            x = norm(conv(x))
        # The last norm adds the shortcut before its ReLU, in one operator where the build has one.
        conv, norm = self.convolutions[-1]
        return norm(conv(x), residual)


class ResNet(Backbone):
    """A stem and stages of residual blocks, which returns the maps of ``spec.outputs``, from fine to coarse.

    ``feature_info`` is (channels, stride) of every output. ``norm`` makes a norm from (channels, act=...).
    """

    def __init__(self, spec: ResNetSpec, norm: Norm = trained_norm, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.feature_info = self._feature_info(spec)
        with self.name_scope():
            self.stem = nn.HybridSequential(prefix="")
            self.stem.add(
                Conv2D(
                    spec.stem_channels,
                    spec.stem_kernel,
                    2,
                    spec.stem_kernel // 2,
                    in_channels=3,
                    tensor_cores=True,
                ),
                norm(spec.stem_channels, act="relu"),
                MaxPool2D(3, 2, 1),
            )
            self.stages = nn.HybridSequential(prefix="")
            in_channels = spec.stem_channels
            for number in range(1, len(spec.depths) + 1):
                self.stages.add(self._stage(number, in_channels, norm))
                in_channels = spec.channels[number - 1]

    @property
    def parts(self) -> list[HybridBlock]:
        """Returns the stem and the stages, in the order in which `Network.freeze` counts them."""
        return [self.stem, *self.stages]

    def reference_names(self) -> list[Entry]:
        stages = [f"layer{number}" for number in range(1, len(self.stages) + 1)]
        return list(resnet_entries(self, ("conv1", "bn1"), stages))

    @staticmethod
    def _feature_info(spec: ResNetSpec) -> list[tuple[int, int]]:
        info, stride = [], 4  # the stem halves twice, in its convolution and in its pooling
        for number, (channels, step) in enumerate(zip(spec.channels, spec.strides), 1):
            stride *= step
            if number in spec.outputs:
                info.append((channels, stride))
        return info

    def _stage(self, number: int, in_channels: int, norm: Norm) -> HybridBlock:
        spec = self.spec
        channels, stride = spec.channels[number - 1], spec.strides[number - 1]
        stage = nn.HybridSequential(prefix=f"stage{number}_")
        # Blocks have no names of their own, so that layers are counted through the stage, as NVIDIA names
        # them.
        with stage.name_scope():
            stage.add(ResidualBlock(spec, in_channels, channels, stride, norm, prefix=""))
            for _ in range(spec.depths[number - 1] - 1):
                stage.add(ResidualBlock(spec, channels, channels, 1, norm, prefix=""))
        return stage

    def hybrid_forward(self, F: Any, x: Any) -> list[Any]:
        x = self.stem(x)
        outputs = []
        for number, stage in enumerate(self.stages, 1):
            x = stage(x)
            if number in self.spec.outputs:
                outputs.append(x)
        return outputs
