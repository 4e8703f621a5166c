"""Layers that know the library's rules of layout, precision and initialisation."""

from .arrays import assign
from .initializers import FusedHeadXavier, TorchBias
from .layers import Activation, BatchNorm, Conv2D, FrozenBatchNorm, compute_precision
from .predictor import ConvPredictor
from .pyramid import FeaturePyramid, PyramidHead

__all__ = [
    "Activation",
    "BatchNorm",
    "Conv2D",
    "ConvPredictor",
    "FeaturePyramid",
    "FrozenBatchNorm",
    "FusedHeadXavier",
    "PyramidHead",
    "TorchBias",
    "assign",
    "compute_precision",
]
