"""Models by name. Their rows can be read without MXNet, which is imported when one is built."""

from . import classifier_models, retinanet_models, ssd_models
from .registry import ModelRow, get_model, list_models, model_row, register_model

__all__ = [
    "ModelRow",
    "classifier_models",
    "get_model",
    "list_models",
    "model_row",
    "register_model",
    "retinanet_models",
    "ssd_models",
]
