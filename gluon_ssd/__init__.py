"""Single-shot object detection for Gluon/MXNet.

Importing the package loads nothing heavy: MXNet, OpenCV and the rest are imported when a name that needs
them is first used.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import compat
from .errors import UserError
from .lazy import names_on_use
from .machine import threads
from .version import __version__

if TYPE_CHECKING:
    from .model_zoo import list_models
    from .predict import Detections, Detector
    from .training.callbacks import Callback
    from .training.train import train
    from .weights.loading import load
    from .weights.pretrained import get_model

__all__ = [
    "Callback",
    "Detections",
    "Detector",
    "UserError",
    "__version__",
    "get_model",
    "list_models",
    "load",
    "train",
]

if "OMP_NUM_THREADS" not in os.environ:
    # MXNet would use half of the cores, whatever else runs; it reads this when it is imported.
    os.environ.setdefault("MXNET_OMP_MAX_THREADS", str(threads()))

# From 1.29 on, onnxruntime tells its makers of each process that imports it, unless it finds this.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

compat.install()

_WHERE = {
    "Callback": ".training.callbacks",
    "Detections": ".predict",
    "Detector": ".predict",
    "get_model": ".weights.pretrained",
    "list_models": ".model_zoo",
    "load": ".weights.loading",
    "train": ".training.train",
}

__getattr__, __dir__ = names_on_use(__name__, _WHERE)
