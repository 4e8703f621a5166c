"""Reads and writes the weights of other frameworks: the public functions of ``tensor_files`` and ``weights``.

Importing this module loads neither MXNet nor NumPy. Functions that read and write files never need MXNet;
those that take a network do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy import names_on_use

if TYPE_CHECKING:
    from .tensor_files.params_file import read_params, write_params
    from .tensor_files.pickles import read_pickle, write_backbone_pickle
    from .tensor_files.reading import read_weights
    from .tensor_files.safetensors_file import read_safetensors, write_safetensors
    from .tensor_files.torch_reader import read_torch
    from .tensor_files.torch_writer import write_torch
    from .weights.backbones import load_backbone
    from .weights.conversion import convert_file
    from .weights.state import load_torch_state, to_torch_state

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

# Where each function is. Its module is imported when the function is first used.
_WHERE = {
    "convert_file": "..weights.conversion",
    "load_backbone": "..weights.backbones",
    "load_torch_state": "..weights.state",
    "read_params": "..tensor_files.params_file",
    "read_pickle": "..tensor_files.pickles",
    "read_safetensors": "..tensor_files.safetensors_file",
    "read_torch": "..tensor_files.torch_reader",
    "read_weights": "..tensor_files.reading",
    "to_torch_state": "..weights.state",
    "write_backbone_pickle": "..tensor_files.pickles",
    "write_params": "..tensor_files.params_file",
    "write_safetensors": "..tensor_files.safetensors_file",
    "write_torch": "..tensor_files.torch_writer",
}

__getattr__, __dir__ = names_on_use(__name__, _WHERE)
