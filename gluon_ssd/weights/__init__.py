"""The weight store: published files in one folder, checked by their SHA-256, fetched only when asked."""

from .store import pull, store_dir, stored_path
from .table import WEIGHTS, WeightFile

__all__ = ["WEIGHTS", "WeightFile", "pull", "store_dir", "stored_path"]
