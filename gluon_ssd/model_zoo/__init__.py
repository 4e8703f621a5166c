"""Models by name, and what a family of models is made of."""

from . import classifier, retinanet_models, ssd_models
from .base import Backbone, DetectionNetwork, Network, as_detector
from .registry import ModelRow, get_model, list_models, model_row, register_model

__all__ = [
    "Backbone",
    "DetectionNetwork",
    "ModelRow",
    "Network",
    "as_detector",
    "classifier",
    "get_model",
    "list_models",
    "model_row",
    "register_model",
    "retinanet_models",
    "ssd_models",
]
