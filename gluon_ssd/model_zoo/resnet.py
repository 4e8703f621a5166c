"""Residual networks as backbones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mxnet.gluon import HybridBlock, nn

from ..nn import Activation, BatchNorm, Conv2D


@dataclass(frozen=True)
class ResNetSpec:
    """Shape of a residual network. Stages count from 1; ``strides`` are those of each stage's first block."""

    depths: tuple[int, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    stem_channels: int = 64
    stem_kernel: int = 7
    outputs: tuple[int, ...] = (3,)


# torchvision's ResNet34 without its last stage and with stride 1 in the third, so that a 300x300 image
# gives a 38x38 map (MLPerf's SSD300).
RESNET34_SSD = ResNetSpec(depths=(3, 4, 6), channels=(64, 128, 256), strides=(1, 2, 1))


class BasicBlock(HybridBlock):
    """Two 3x3 convolutions and a shortcut. Source: He et al., "Deep Residual Learning" (2016)."""

    def __init__(self, in_channels: int, channels: int, stride: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.conv1 = Conv2D(channels, 3, stride, 1, in_channels=in_channels)
            self.norm1 = BatchNorm(channels)
            self.conv2 = Conv2D(channels, 3, 1, 1, in_channels=channels)
            self.norm2 = BatchNorm(channels)
            self.shortcut = None
            if stride != 1 or in_channels != channels:
                self.shortcut = nn.HybridSequential(prefix="")
                self.shortcut.add(Conv2D(channels, 1, stride, in_channels=in_channels), BatchNorm(channels))
            self.relu = Activation()

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        residual = x if self.shortcut is None else self.shortcut(x)
        x = self.relu(self.norm1(self.conv1(x)))
        return self.relu(self.norm2(self.conv2(x)) + residual)


class ResNet(HybridBlock):
    """Stem and stages; returns the maps of ``spec.outputs`` as a list, fine to coarse.

    ``feature_info``: (channels, stride) of every output.
    """

    def __init__(self, spec: ResNetSpec, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.feature_info = self._feature_info(spec)
        with self.name_scope():
            self.stem = nn.HybridSequential(prefix="")
            self.stem.add(
                Conv2D(spec.stem_channels, spec.stem_kernel, 2, spec.stem_kernel // 2, in_channels=3),
                BatchNorm(spec.stem_channels),
                Activation(),
                nn.MaxPool2D(3, 2, 1),
            )
            self.stages = nn.HybridSequential(prefix="")
            in_channels = spec.stem_channels
            for number, depth in enumerate(spec.depths, 1):
                self.stages.add(self._stage(number, depth, in_channels))
                in_channels = spec.channels[number - 1]

    @staticmethod
    def _feature_info(spec: ResNetSpec) -> list[tuple[int, int]]:
        info, stride = [], 4
        for number, (channels, step) in enumerate(zip(spec.channels, spec.strides), 1):
            stride *= step
            if number in spec.outputs:
                info.append((channels, stride))
        return info

    def _stage(self, number: int, depth: int, in_channels: int) -> HybridBlock:
        channels, stride = self.spec.channels[number - 1], self.spec.strides[number - 1]
        stage = nn.HybridSequential(prefix=f"stage{number}_")
        with stage.name_scope():
            stage.add(BasicBlock(in_channels, channels, stride, prefix=""))
            for _ in range(depth - 1):
                stage.add(BasicBlock(channels, channels, 1, prefix=""))
        return stage

    def hybrid_forward(self, F: Any, x: Any) -> list[Any]:
        x = self.stem(x)
        outputs = []
        for number, stage in enumerate(self.stages, 1):
            x = stage(x)
            if number in self.spec.outputs:
                outputs.append(x)
        return outputs
