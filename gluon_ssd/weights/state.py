"""PyTorch state dictionaries, as plain arrays, into networks and out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import UserError
from ..model_zoo.reference_names import Entry
from ..nn import assign
from ..tensor_files.layout import to_layout
from ..tensor_files.norms import has_no_epsilon

# Bookkeeping of PyTorch's batch norm that no computation reads.
_IGNORED = "num_batches_tracked"


def _table(net: Any) -> Sequence[Entry]:
    entries = net.reference_names()
    if not entries:
        raise UserError(f"{net.model_name} has no PyTorch counterpart to exchange weights with")
    return entries


def _listing(title: str, names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{title}: {', '.join(names[:5])}{more}"


def _array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):  # PyTorch's, perhaps on a GPU, or of the one type that NumPy lacks
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    return np.asarray(value)


def load_torch_state(net: Any, state: Mapping[str, np.ndarray]) -> None:
    """Sets all parameters of ``net`` from a reference's tensors, by the reference's names.

    ``state``: arrays, or tensors of PyTorch's, such as a ``state_dict()``. A ``module.`` prefix is taken off.
    Weights that go with frozen batch norms of another epsilon than the network's bring it along. Raises
    UserError, before anything is changed, when a tensor is missing, unexpected or of another shape.
    """
    values, epsilon = torch_parameters(net, state)
    parameters = net.collect_params()
    for name, value in values.items():
        assign(parameters[name], value)
    if epsilon is not None:
        net.set_norm_epsilon(epsilon)


def torch_parameters(net: Any, state: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float | None]:
    """A reference's tensors as parameters of ``net`` by name, which is not changed and needs no values.

    With them the epsilon that its frozen batch norms must have, None where nothing asks for one. Raises
    UserError as `load_torch_state` does.
    """
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise UserError(f"weights are of type {type(state).__name__}; give tensors by name, a state_dict()")
    state = {name[7:] if name.startswith("module.") else name: value for name, value in state.items()}
    state = {name: _array(value) for name, value in state.items() if not name.endswith(_IGNORED)}
    entries, parameters, aliases = _table(net), net.collect_params(), net.reference_aliases()
    epsilon = 0.0 if aliases and has_no_epsilon(state) else None
    state = {aliases.get(name, name): value for name, value in state.items()}
    wanted = [source for entry in entries for source in entry.sources]
    missing = [name for name in wanted if name not in state]
    unexpected = sorted(set(state) - set(wanted))
    problems = [_listing("missing", missing)] if missing else []
    problems += [_listing("unexpected", unexpected)] if unexpected else []
    values: dict[str, np.ndarray] = {}
    for entry in entries if not missing else []:
        blank = to_layout(np.zeros(parameters[entry.name].shape, np.bool_), net.layout, "NCHW")
        shapes = [part.shape for part in entry.split(blank)]
        arrays = entry.adapt([state[source] for source in entry.sources])
        found = [array.shape for array in arrays]
        if shapes != found:
            names = " and ".join(entry.sources)
            problems.append(f"{names}: shape {found}, the network has {shapes}")
        else:
            values[entry.name] = to_layout(entry.join(arrays), "NCHW", net.layout)
    if problems:
        raise UserError(f"these weights do not fit {net.model_name}; " + "; ".join(problems))
    return values, epsilon


def to_torch_state(net: Any) -> dict[str, np.ndarray]:
    """The parameters of ``net`` under the names and in the shapes of its PyTorch reference."""
    parameters = net.collect_params()
    state: dict[str, np.ndarray] = {}
    for entry in _table(net):
        parts = entry.split(to_layout(parameters[entry.name].data().asnumpy(), net.layout, "NCHW"))
        state.update(zip(entry.sources, (np.ascontiguousarray(part) for part in parts)))
    return state
