"""Layers that know the library's rules of layout, precision and initialisation."""

from .initializers import FusedHeadXavier, TorchBias
from .layers import Activation, BatchNorm, Conv2D, FrozenBatchNorm, compute_precision
from .predictor import ConvPredictor

__all__ = [
    "Activation",
    "BatchNorm",
    "Conv2D",
    "ConvPredictor",
    "FrozenBatchNorm",
    "FusedHeadXavier",
    "TorchBias",
    "compute_precision",
]
