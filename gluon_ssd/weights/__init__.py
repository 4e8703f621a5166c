"""Weights: those that are published, checkpoints, and their way from and to other frameworks.

The published files lie in one folder, the store. They are fetched only when asked, and checked by their
SHA-256.
"""

from .store import pull, store_dir, stored_path
from .table import WEIGHTS, WeightFile

__all__ = ["WEIGHTS", "WeightFile", "pull", "store_dir", "stored_path"]
