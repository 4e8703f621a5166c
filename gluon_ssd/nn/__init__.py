"""Layers that follow the library's rules for layout, precision and initialisation."""

from ..tensor_files.layout import all_to_layout, to_layout, weight_layout
from .arrays import assign
from .config import LayerConfig, current, using
from .group_norm import GroupBatchNorm, RankGroup, norm
from .initializers import FusedHeadXavier, TorchBias
from .layers import (
    Activation,
    BatchNorm,
    Conv2D,
    Dense,
    FrozenBatchNorm,
    GlobalAvgPool2D,
    GroupNorm,
    MaxPool2D,
    clip_by_convolution,
    compute_precision,
)
from .predictor import ConvPredictor, channels_last
from .pyramid import FeaturePyramid, PyramidHead

__all__ = [
    "Activation",
    "BatchNorm",
    "Conv2D",
    "ConvPredictor",
    "Dense",
    "FeaturePyramid",
    "FrozenBatchNorm",
    "FusedHeadXavier",
    "GlobalAvgPool2D",
    "GroupBatchNorm",
    "GroupNorm",
    "LayerConfig",
    "MaxPool2D",
    "PyramidHead",
    "RankGroup",
    "TorchBias",
    "all_to_layout",
    "assign",
    "channels_last",
    "clip_by_convolution",
    "compute_precision",
    "current",
    "norm",
    "to_layout",
    "using",
    "weight_layout",
]
