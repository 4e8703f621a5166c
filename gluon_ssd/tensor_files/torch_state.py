"""Finds the tensors of the network in a checkpoint."""

from __future__ import annotations

from typing import Any, Union

import numpy as np

from .numpy_pickle import NumpyArray
from .safe_pickle import Refused, short
from .torch_pickle import Tensor

Value = Union[Tensor, np.ndarray]

# Training scripts keep the network under one of these keys, beside the optimizer and counters.
_NETWORK = ("model", "state_dict", "model_state_dict", "network", "net", "weights", "params")
# What is under these keys may hold tensors, but not those of the network.
_OTHER = {
    "optimizer",
    "optimizers",
    "optimizer_state_dict",
    "optim",
    "scheduler",
    "lr_scheduler",
    "lr_schedulers",
    "scaler",
    "amp",
    "loss",
    "callbacks",
    "loops",
    "rng_state",
}
# DataParallel and torch.compile put these in front of every name.
_WRAPPERS = ("module.", "_orig_mod.")
_DEEPEST = 8


def find_state(value: Any) -> dict[str, Value]:
    """Returns the tensors of the network in an unpickled checkpoint by name.

    The names of nested dictionaries are joined with dots. Raises Refused when there are no tensors.
    """
    if isinstance(value, (Tensor, NumpyArray)):
        raise Refused("it holds one tensor without a name, not a state dict")
    if not isinstance(value, dict):
        raise Refused(f"it holds a {short(type(value).__name__)}, not a state dict")
    state = _search(value, set(), 0)
    if not state:
        raise Refused("it holds no tensors")
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in state):
            state = {name[len(wrapper) :]: tensor for name, tensor in state.items()}
    return state


def _search(value: dict[Any, Any], seen: set[int], depth: int) -> dict[str, Value]:
    """Returns the tensors under the first key of a network that has any, or else all tensors."""
    if id(value) in seen:  # the same dictionary again, or one inside itself
        return {}
    if depth > _DEEPEST:
        raise Refused("its dictionaries are nested too deep")
    seen.add(id(value))
    for key in _NETWORK:
        inner = value.get(key)
        if isinstance(inner, dict):
            state = _search(inner, seen, depth + 1)
            if state:
                return state
    return _flatten(value, set(), 0)


def _flatten(value: dict[Any, Any], seen: set[int], depth: int) -> dict[str, Value]:
    """Returns the tensors of a dictionary and of those inside it, with joined names."""
    state: dict[str, Value] = {}
    if id(value) in seen:
        return state
    seen.add(id(value))
    for key, item in value.items():
        if isinstance(item, NumpyArray):
            item = item.value
        if isinstance(key, str) and isinstance(item, (Tensor, np.ndarray)):
            state[key] = item
        elif isinstance(key, str) and isinstance(item, dict) and key not in _OTHER:
            if depth == _DEEPEST:
                raise Refused("its dictionaries are nested too deep")
            inner = _flatten(item, seen, depth + 1)
            state.update({f"{key}.{name}": tensor for name, tensor in inner.items()})
    return state
