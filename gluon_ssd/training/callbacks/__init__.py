"""What watches a training: `Callback`, the base of users' own, and the callbacks of every training."""

from .base import Callback, CallbackList, RunInfo, TrainBatch

__all__ = ["Callback", "CallbackList", "RunInfo", "TrainBatch"]
