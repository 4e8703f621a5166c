"""Loads PyTorch state dictionaries, as plain arrays, into networks, and makes them from networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import UserError
from ..model_zoo.reference_names import Entry
from ..nn import assign
from ..tensor_files.layout import to_layout
from ..tensor_files.norms import has_no_epsilon

# A counter in PyTorch's batch norm, which the networks here do not need.
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
    # PyTorch's tensors may be on a GPU, or of bfloat16, which NumPy lacks.
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    return np.asarray(value)


def load_torch_state(net: Any, state: Mapping[str, np.ndarray]) -> None:
    """Sets all parameters of ``net`` from the tensors of its PyTorch reference, by the reference's names.

    ``state`` holds arrays or PyTorch's tensors by name, such as a ``state_dict()``; a prefix ``module.`` is
    removed. Where the weights need frozen batch norms of another epsilon, that of ``net`` is changed. Raises
    UserError, before anything is changed, when a tensor is missing, unexpected or of another shape.
    """
    values, epsilon = torch_parameters(net, state)
    parameters = net.collect_params()
    for name, value in values.items():
        assign(parameters[name], value)
    if epsilon is not None:
        net.set_norm_epsilon(epsilon)


def torch_parameters(net: Any, state: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float | None]:
    """Returns the tensors of a reference as parameters of ``net`` by name, and the epsilon that they need.

    The epsilon is that of frozen batch norms, or None where the weights do not need a particular one. ``net``
    is not changed, and its parameters need no values. Raises UserError as `load_torch_state` does.
    """
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise UserError(f"weights are of type {type(state).__name__}; give tensors by name, a state_dict()")
    state = {name[7:] if name.startswith("module.") else name: value for name, value in state.items()}
    state = {name: _array(value) for name, value in state.items() if not name.endswith(_IGNORED)}
    entries, parameters, aliases = _table(net), net.collect_params(), net.reference_aliases()
    # Aliases mean that the reference has several versions, of which one has frozen norms without an epsilon.
    epsilon = 0.0 if aliases and has_no_epsilon(state) else None
    state = {aliases.get(name, name): value for name, value in state.items()}
    wanted = [source for entry in entries for source in entry.sources]
    missing = [name for name in wanted if name not in state]
    unexpected = sorted(set(state) - set(wanted))
    problems = [_listing("missing", missing)] if missing else []
    problems += [_listing("unexpected", unexpected)] if unexpected else []
    values: dict[str, np.ndarray] = {}
    for entry in entries if not missing else []:
        # The parameter, taken apart as the reference has it, says which shapes the tensors must have.
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
    """Returns the parameters of ``net`` under the names and in the shapes of its PyTorch reference.

    Raises UserError where ``net`` has no such reference.
    """
    parameters = net.collect_params()
    state: dict[str, np.ndarray] = {}
    for entry in _table(net):
        parts = entry.split(to_layout(parameters[entry.name].data().asnumpy(), net.layout, "NCHW"))
        state.update(zip(entry.sources, (np.ascontiguousarray(part) for part in parts)))
    return state
