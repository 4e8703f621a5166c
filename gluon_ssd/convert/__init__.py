"""Weights of other frameworks, in and out."""

from .state import load_torch_state, to_torch_state

__all__ = ["load_torch_state", "to_torch_state"]
