"""The input pipeline on NVIDIA DALI, on CPU or GPU. Needs ``pip install 'gluon_ssd[dali]'``."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {"DaliLoader": "loader", "DaliOptions": "options"}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
