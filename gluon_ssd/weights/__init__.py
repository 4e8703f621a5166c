"""Weights: published files, checkpoints, and the exchange with other frameworks.

The published files are kept in one folder, the store. They are downloaded only on request, and checked by
their SHA-256.
"""

from .store import pull, store_dir, stored_path
from .table import WEIGHTS, WeightFile

__all__ = ["WEIGHTS", "WeightFile", "pull", "store_dir", "stored_path"]
