"""Weights of other frameworks, in and out."""

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
