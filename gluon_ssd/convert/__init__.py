"""Weights of other frameworks, in and out.

Importing it loads NumPy only; reading and writing files never needs MXNet, networks do.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import import_problem

if TYPE_CHECKING:
    from .backbones import load_backbone
    from .conversion import convert_file
    from .files import read_weights
    from .params_file import read_params, write_params
    from .pickles import read_pickle, write_backbone_pickle
    from .state import load_torch_state, to_torch_state
    from .tensors_file import read_safetensors, write_safetensors
    from .torch_reader import read_torch
    from .torch_writer import write_torch

__all__ = [
    "convert_file",
    "load_backbone",
    "load_torch_state",
    "read_params",
    "read_pickle",
    "read_safetensors",
    "read_torch",
    "read_weights",
    "to_torch_state",
    "write_backbone_pickle",
    "write_params",
    "write_safetensors",
    "write_torch",
]

_WHERE = {
    "convert_file": "conversion",
    "load_backbone": "backbones",
    "load_torch_state": "state",
    "read_params": "params_file",
    "read_pickle": "pickles",
    "read_safetensors": "tensors_file",
    "read_torch": "torch_reader",
    "read_weights": "files",
    "to_torch_state": "state",
    "write_backbone_pickle": "pickles",
    "write_params": "params_file",
    "write_safetensors": "tensors_file",
    "write_torch": "torch_writer",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f".{_WHERE[name]}", __name__)
    except ImportError as error:
        raise (import_problem(error) or error) from None
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
