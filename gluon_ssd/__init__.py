"""Single-shot object detection for Gluon/MXNet.

Importing the package loads nothing heavy: MXNet, OpenCV and the rest are imported when a name that needs
them is first used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from . import compat
from .errors import UserError, import_problem
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


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(_WHERE[name], __name__)
    except (ImportError, AttributeError) as error:
        raise (import_problem(error) or error) from None
    return getattr(module, name)


def __dir__() -> list[str]:
    """Returns what is public, whether it has been used yet or not: for `dir` and the Tab key."""
    return sorted(__all__)
