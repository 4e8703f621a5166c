"""Loads pretrained backbones into detectors, from any weight file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..tensor_files.backbone_names import gluoncv_to_torch, short_names
from ..tensor_files.layout import all_to_layout, cut_padding, weight_layout
from ..tensor_files.names import plain_name
from ..tensor_files.reading import read_weights
from .conversion import Source, named_by

# The last stage of a whole ResNet, which a backbone may do without. `short_names` has dropped the classifier.
_SPARE = ("stage4_",)


def load_backbone(net: Any, path: str | Path) -> None:
    """Sets the backbone of a detector from any weight file: ``.pth``, ``.pickle``, ``.params`` and so on.

    The file may hold a torchvision ResNet or ResNeXt, NVIDIA's pickle of one, GluonCV's ResNet v1b, or a
    whole detector with the same backbone, in either layout and any precision. A GluonCV backbone takes the
    file that ``save_parameters`` of its classifier wrote. A last stage and a classifier that the backbone
    lacks are left out. Running statistics count as parameters. Raises UserError, before anything is changed,
    when the file cannot be read, or a tensor is missing, unexpected or of another shape.
    """
    from ..nn import assign

    backbone = getattr(net, "backbone", net)
    kind, state = read_weights(path)
    source = Source(Path(path), kind, state)
    try:
        parameters, arrays = _matched(backbone, state)
    except UserError as error:
        raise UserError(f"{path}: {error}{named_by(source)}") from None
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    arrays = cut_padding(all_to_layout(arrays, weight_layout(shapes.values())), shapes)
    problems = _listing("missing", [name for name in parameters if name not in arrays])
    problems += _listing(
        "unexpected", [name for name in arrays if name not in parameters and not name.startswith(_SPARE)]
    )
    for name, shape in shapes.items():
        if name in arrays and arrays[name].shape != shape:
            problems.append(f"{name} is {arrays[name].shape}, the backbone has {shape}")
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        name = getattr(net, "model_name", "this network")
        text = f"{'; '.join(problems[:3])}{more}{named_by(source)}"
        raise UserError(f"{path}: does not fit the backbone of {name}: {text}")
    # Nothing is set before everything is known to fit.
    for name, parameter in parameters.items():
        assign(parameter, arrays[name])


def _matched(backbone: Any, state: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns the parameters of the backbone and the arrays of a file, under names that both share."""
    if hasattr(backbone, "sources"):
        return _matched_gluoncv(backbone.sources, state)
    named, prefix = _by_parameter_name(backbone, state), backbone.prefix
    try:
        arrays = short_names(named)
    except UserError:
        # It is no ResNet, but a backbone that the user has defined may know its parameters in the file.
        arrays = _under_its_prefix(backbone, named) or _by_reference(backbone, state)
        if not arrays:
            raise
        return backbone.collect_params(), arrays
    parameters = {
        plain_name(name[len(prefix) :] if name.startswith(prefix) else name): parameter
        for name, parameter in backbone.collect_params().items()
    }
    return parameters, arrays


def _under_its_prefix(backbone: Any, named: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ``named`` has of the backbone's parameters, which have another prefix in another network."""
    short = {name[len(backbone.prefix) :]: name for name in backbone.collect_params()}
    first = next(iter(short))
    prefixes = {name[: -len(first)] for name in named if name.endswith(first)}
    if len(prefixes) != 1:
        return {}
    prefix = prefixes.pop()
    found = {ours: named[prefix + name] for name, ours in short.items() if prefix + name in named}
    # A few names that happen to agree are another network's.
    return found if 2 * len(found) > len(short) else {}


def _by_reference(backbone: Any, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the tensors of ``state`` that the backbone knows from its reference, by parameter name."""
    known: Sequence[Any] = getattr(backbone, "reference_names", tuple)()
    entries = [entry for entry in known if all(name in state for name in entry.sources)]
    return {entry.name: entry.join([state[name] for name in entry.sources]) for entry in entries}


def _matched_gluoncv(
    sources: Mapping[str, Any], state: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns what `_matched` does, by the paths in GluonCV's classifier.

    Tensors of the classifier that the backbone does not have are left out.
    """
    # `read_weights` has given a ResNet v1b torchvision's names.
    sources = gluoncv_to_torch(sources)
    used = {name: parameter for name, parameter in sources.items() if parameter is not None}
    spare = {name for name in sources if name not in used}
    counters = {name for name in state if name.endswith("num_batches_tracked")}
    return used, {name: value for name, value in state.items() if name not in spare | counters}


def _by_parameter_name(backbone: Any, state: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Returns ``state`` under parameter names where it has the paths of ``save_parameters``.

    The file may be of the backbone alone or of its detector. Any other ``state`` is returned as it is.
    """
    paths = {path: parameter.name for path, parameter in backbone._collect_params_with_prefix().items()}
    for prefix in ("", "backbone."):
        names = {prefix + path: name for path, name in paths.items()}
        if set(names) <= set(state):
            return {name: state[path] for path, name in names.items()}
    return state


def _listing(title: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return [f"{title} {', '.join(names[:5])}{more}"]
