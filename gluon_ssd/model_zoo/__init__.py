"""Models by name."""

from . import classifier, retinanet_models, ssd_models
from .registry import ModelRow, get_model, list_models, model_row, register_model

__all__ = [
    "ModelRow",
    "classifier",
    "get_model",
    "list_models",
    "model_row",
    "register_model",
    "retinanet_models",
    "ssd_models",
]
