"""Layers that know the library's rules of layout, precision and initialisation."""

from .arrays import assign
from .initializers import FusedHeadXavier, TorchBias
from .layers import Activation, BatchNorm, Conv2D, compute_precision
from .predictor import ConvPredictor

__all__ = [
    "Activation",
    "BatchNorm",
    "Conv2D",
    "ConvPredictor",
    "FusedHeadXavier",
    "TorchBias",
    "assign",
    "compute_precision",
]
