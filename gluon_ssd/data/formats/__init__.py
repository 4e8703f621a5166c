"""Formats of data sets: reading one, writing another, and adding a format of one's own.

Names are imported at their first use, so that importing the package needs no OpenCV.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "Box": "model",
    "DataSet": "model",
    "Format": "registry",
    "LIKELY": "registry",
    "NO": "registry",
    "Options": "model",
    "POSSIBLE": "registry",
    "Picture": "model",
    "Placer": "placing",
    "SURE": "registry",
    "Sheet": "sheet",
    "convert_data": "conversion",
    "list_formats": "registry",
    "read_dataset": "conversion",
    "register_format": "registry",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
