"""Models by name, and the classes of which a family of models is made.

The rows of the models can be read without MXNet, which is imported when a model is built or a family is
defined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import names_on_use
from . import classifier_models, gluoncv_ssd_models, retinanet_models, ssd_models, ssdlite_models
from .registry import ModelRow, get_model, is_model, list_models, model_row, register_model

if TYPE_CHECKING:
    from .base import Backbone, DetectionNetwork, Network, as_detector

__all__ = [
    "Backbone",
    "DetectionNetwork",
    "ModelRow",
    "Network",
    "as_detector",
    "classifier_models",
    "get_model",
    "gluoncv_ssd_models",
    "is_model",
    "list_models",
    "model_row",
    "register_model",
    "retinanet_models",
    "ssd_models",
    "ssdlite_models",
]

_WHERE = dict.fromkeys(("Backbone", "DetectionNetwork", "Network", "as_detector"), ".base")

__getattr__, __dir__ = names_on_use(__name__, _WHERE)
