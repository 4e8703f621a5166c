"""Models by name."""

from . import ssd_models
from .registry import ModelRow, get_model, list_models, model_row, register_model

__all__ = ["ModelRow", "get_model", "list_models", "model_row", "register_model", "ssd_models"]
