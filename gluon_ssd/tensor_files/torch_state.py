"""Finds the tensors of the network in a checkpoint."""

from __future__ import annotations

from typing import Any, Union

import numpy as np

from .numpy_pickle import NumpyArray
from .safe_pickle import Refused, short
from .torch_pickle import SavedObject, Tensor

Value = Union[Tensor, np.ndarray]
Holder = Union[dict[Any, Any], SavedObject]

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

    The names of nested dictionaries are joined with dots, and so are those of a module and its parts. Raises
    Refused when there are no tensors.
    """
    if isinstance(value, (Tensor, NumpyArray)):
        raise Refused("it holds one tensor without a name, not a state dict")
    if not isinstance(value, (dict, SavedObject)):
        raise Refused(f"it holds a {short(type(value).__name__)}, not a state dict")
    state = _search(value, set(), 0)
    if not state and isinstance(value, SavedObject) and value.scripted:
        raise Refused("it is a TorchScript program without parameters; save its state_dict() instead")
    if not state:
        raise Refused("it holds no tensors")
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in state):
            state = {name[len(wrapper) :]: tensor for name, tensor in state.items()}
    return state


def _search(value: Holder, seen: set[int], depth: int) -> dict[str, Value]:
    """Returns the tensors under the first key of a network that has any, or else all tensors."""
    if isinstance(value, SavedObject):  # its parts may well be called "model"
        return _flatten(value, set(), 0)
    if id(value) in seen:  # the same dictionary again, or one inside itself
        return {}
    if depth > _DEEPEST:
        raise Refused("its dictionaries are nested too deep")
    seen.add(id(value))
    for key in _NETWORK:
        inner = value.get(key)
        if isinstance(inner, (dict, SavedObject)):
            state = _search(inner, seen, depth + 1)
            if state:
                return state
    return _flatten(value, set(), 0)


def _flatten(value: Holder, seen: set[int], depth: int) -> dict[str, Value]:
    """Returns the tensors of a dictionary or a module and of those inside it, with joined names."""
    state: dict[str, Value] = {}
    if id(value) in seen:
        return state
    seen.add(id(value))
    # What is inside a module is the network's, whatever its name.
    other = set() if isinstance(value, SavedObject) else _OTHER
    items = _members(value, seen) if isinstance(value, SavedObject) else value
    for key, item in items.items():
        if isinstance(item, NumpyArray):
            item = item.value
        if isinstance(key, str) and isinstance(item, (Tensor, np.ndarray)):
            state[key] = item
        elif isinstance(key, str) and isinstance(item, (dict, SavedObject)) and key not in other:
            if depth == _DEEPEST:
                raise Refused("its dictionaries are nested too deep")
            inner = _flatten(item, seen, depth + 1)
            state.update({f"{key}.{name}": tensor for name, tensor in inner.items()})
    return state


def _members(module: SavedObject, seen: set[int]) -> dict[Any, Any]:
    """Returns the parameters, buffers and parts of a module by name; of another object nothing.

    Buffers that a ``state_dict()`` leaves out are left out, which TorchScript does not tell.
    """
    groups: dict[str, Any] = {"": module.state}
    if not module.scripted:
        names = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
        groups = {name: module.state.get(name) for name in names}
    # Two modules of a hostile file could share what they hold, and each would have all of it.
    groups = {name: group for name, group in groups.items() if id(group) not in seen}
    seen.update(map(id, groups.values()))
    hidden = groups.pop("_non_persistent_buffers_set", None)
    left_out = {name for name in hidden if isinstance(name, str)} if isinstance(hidden, list) else set()
    found: dict[Any, Any] = {}
    for group in groups.values():
        if isinstance(group, dict):
            found.update({name: value for name, value in group.items() if name not in left_out})
    return found
