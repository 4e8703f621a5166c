"""The input pipeline on NVIDIA DALI, on CPU or GPU. Needs ``pip install 'gluon_ssd[dali]'``."""

from __future__ import annotations

from ...lazy import names_on_use

_WHERE = {"DaliLoader": ".loader", "DaliOptions": ".options"}

__all__ = sorted(_WHERE)

__getattr__, __dir__ = names_on_use(__name__, _WHERE)
