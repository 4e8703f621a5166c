"""PyTorch state dictionaries, as plain arrays, into networks and out of them."""

from __future__ import annotations

from typing import Any, Mapping

import numpy as np

from ..errors import UserError
from ..nn import assign, to_layout
from .names import Entry, norm_epsilon, torch_aliases, torch_entries

# Bookkeeping of PyTorch's batch norm that no computation reads.
_IGNORED = "num_batches_tracked"


def _table(net: Any) -> list[Entry]:
    try:
        return torch_entries(net)
    except KeyError:
        raise UserError(f"{net.model_name} has no PyTorch counterpart to exchange weights with") from None


def _listing(title: str, names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{title}: {', '.join(names[:5])}{more}"


def load_torch_state(net: Any, state: Mapping[str, np.ndarray]) -> None:
    """Sets all parameters of ``net`` from a reference's tensors, by the reference's names.

    A ``module.`` prefix is taken off. Raises UserError, before anything is changed, when a tensor is missing,
    unexpected or of another shape.
    """
    state = {name[7:] if name.startswith("module.") else name: value for name, value in state.items()}
    state = {name: np.asarray(value) for name, value in state.items() if not name.endswith(_IGNORED)}
    entries, parameters = _table(net), net.collect_params()
    aliases, epsilon = torch_aliases(net), norm_epsilon(net, state)
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
    for name, value in values.items():
        assign(parameters[name], value)
    if epsilon is not None:
        net.set_norm_epsilon(epsilon)


def to_torch_state(net: Any) -> dict[str, np.ndarray]:
    """The parameters of ``net`` under the names and in the shapes of its PyTorch reference."""
    parameters = net.collect_params()
    state: dict[str, np.ndarray] = {}
    for entry in _table(net):
        parts = entry.split(to_layout(parameters[entry.name].data().asnumpy(), net.layout, "NCHW"))
        state.update(zip(entry.sources, (np.ascontiguousarray(part) for part in parts)))
    return state
