"""The shapes of networks, as data that can be read without MXNet."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class ResNetSpec:
    """The shape of a residual network.

    ``depths`` are the numbers of blocks in each stage, ``channels`` the output channels of each stage, and
    ``strides`` those of each stage's first block. With ``bottleneck`` a block has three convolutions instead
    of two. Its 3x3 convolution then has ``groups`` groups, each with ``width`` channels for every 64 that a
    plain ResNet has in all. ``outputs`` are the stages whose maps are returned, counted from 1.
    """

    name: str
    depths: tuple[int, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...] = (1, 2, 2, 2)
    bottleneck: bool = False
    groups: int = 1
    width: int = 64
    stem_channels: int = 64
    stem_kernel: int = 7
    outputs: tuple[int, ...] = (1, 2, 3, 4)

    def truncated(self) -> ResNetSpec:
        """Returns the first three stages, the third with stride 1, which are the backbone of SSD300.

        An input of 300x300 pixels gives a map of 38x38.
        """
        return replace(
            self, depths=self.depths[:3], channels=self.channels[:3], strides=(1, 2, 1), outputs=(3,)
        )


_BASIC, _WIDE = (64, 128, 256, 512), (256, 512, 1024, 2048)

# The networks of torchvision, whose bottleneck has its stride on the 3x3 convolution ("v1.5").
RESNETS: dict[str, ResNetSpec] = {
    spec.name: spec
    for spec in (
        ResNetSpec("resnet18", (2, 2, 2, 2), _BASIC),
        ResNetSpec("resnet34", (3, 4, 6, 3), _BASIC),
        ResNetSpec("resnet50", (3, 4, 6, 3), _WIDE, bottleneck=True),
        ResNetSpec("resnet101", (3, 4, 23, 3), _WIDE, bottleneck=True),
        ResNetSpec("resnet152", (3, 8, 36, 3), _WIDE, bottleneck=True),
        ResNetSpec("resnext50_32x4d", (3, 4, 6, 3), _WIDE, bottleneck=True, groups=32, width=4),
    )
}


@dataclass(frozen=True)
class StageSpec:
    """A stage of inverted residuals. ``expansion``: how many times the channels grow inside a block."""

    depth: int
    kernel: int
    stride: int
    expansion: int
    channels: int


@dataclass(frozen=True)
class EfficientNetSpec:
    """Shape of an EfficientNet-Lite: its stages, and the side of the square images that it was trained on."""

    name: str
    stages: tuple[StageSpec, ...]
    image_size: int
    stem_channels: int = 32
    head_channels: int = 1280


_LITE0 = (
    StageSpec(1, 3, 1, 1, 16),
    StageSpec(2, 3, 2, 6, 24),
    StageSpec(2, 5, 2, 6, 40),
    StageSpec(3, 3, 2, 6, 80),
    StageSpec(3, 5, 1, 6, 112),
    StageSpec(4, 5, 2, 6, 192),
    StageSpec(1, 3, 1, 6, 320),
)


def _scaled(width: float, depth: float) -> tuple[StageSpec, ...]:
    """The stages of lite0, wider and deeper; the first and the last keep their depth, as in Google's Lite."""
    last = len(_LITE0) - 1
    return tuple(
        replace(
            stage,
            depth=stage.depth if number in (0, last) else math.ceil(depth * stage.depth),
            channels=_in_eights(stage.channels * width),
        )
        for number, stage in enumerate(_LITE0)
    )


def _in_eights(channels: float) -> int:
    """The nearest multiple of 8 that is not below nine tenths of ``channels``."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


# Source: Tan and Le, "EfficientNet" (2019); Google's Lite variants have no squeeze-excitation and ReLU6.
EFFICIENTNETS: dict[str, EfficientNetSpec] = {
    spec.name: spec
    for spec in (
        EfficientNetSpec("efficientnet_lite0", _LITE0, 224),
        EfficientNetSpec("efficientnet_lite1", _scaled(1.0, 1.1), 240),
        EfficientNetSpec("efficientnet_lite2", _scaled(1.1, 1.2), 260),
    )
}


@dataclass(frozen=True)
class ExtraLayer:
    """A 1x1 convolution to ``middle`` channels, then a 3x3 one to ``channels``, each followed by ReLU.

    ``stride`` and ``padding`` are those of the 3x3 convolution.
    """

    middle: int
    channels: int
    stride: int = 2
    padding: int = 1


@dataclass(frozen=True)
class ReferenceBody:
    """The names in a PyTorch reference of an SSD: of the stem's convolution and norm, and of each stage."""

    stem: tuple[str, str]
    stages: tuple[str, ...]


@dataclass(frozen=True)
class ReferenceStyle:
    """How a reference of a RetinaNet names its layers.

    ``pyramid`` follows the number of a pyramid's convolution, and ``convs`` are the names of the convolutions
    in a head.
    """

    pyramid: str
    convs: tuple[str, ...]


# The names of MLPerf's training reference (from v2.0 on) are those of torchvision before version 0.13.
MLPERF_STYLE = ReferenceStyle("", ("0", "2", "4", "6"))
TORCHVISION_STYLE = ReferenceStyle(".0", ("0.0", "1.0", "2.0", "3.0"))
