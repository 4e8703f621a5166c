"""Data sets, transforms and the native loader.

Names are imported at their first use, so that ``import gluon_ssd.data`` and its ``preprocess`` need no
OpenCV.
"""

from __future__ import annotations

from ..lazy import names_on_use

_WHERE = {
    "Record": ".records",
    "Records": ".records",
    "Preprocess": ".preprocess",
    "CocoDataset": ".coco",
    "open_dataset": ".opening",
    "read_image": ".images",
    "EvalTransform": ".transforms",
    "PlainTrainTransform": ".transforms",
    "SSDTrainTransform": ".transforms",
    "Batch": ".batch",
    "NativeLoader": ".loader",
    "InputSettings": ".pipelines",
    "make_loader": ".pipelines",
}

__all__ = sorted(_WHERE)

__getattr__, __dir__ = names_on_use(__name__, _WHERE)
