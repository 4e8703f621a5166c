"""Data sets, transforms and the native loader.

Names are imported at their first use, so that ``import gluon_ssd.data`` and its ``preprocess`` need no
OpenCV.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "Record": "records",
    "Records": "records",
    "Preprocess": "preprocess",
    "CocoDataset": "coco",
    "open_dataset": "opening",
    "read_image": "images",
    "EvalTransform": "transforms",
    "PlainTrainTransform": "transforms",
    "SSDTrainTransform": "transforms",
    "Batch": "batch",
    "NativeLoader": "loader",
    "InputSettings": "pipelines",
    "make_loader": "pipelines",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
