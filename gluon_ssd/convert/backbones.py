"""Pretrained backbones into detectors, from any weight file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from ..errors import UserError
from .backbone_names import plain_name, short_names
from .files import read_weights

# The last stage and the classifier of a whole ResNet, which a backbone may do without.
_SPARE = ("stage4_",)


def load_backbone(net: Any, path: str | Path) -> None:
    """Sets the backbone of a detector from any weight file: ``.pth``, ``.pickle``, ``.params`` and so on.

    The file may hold a torchvision ResNet or ResNeXt, NVIDIA's pickle of one, or a whole detector with the
    same backbone; a last stage and a classifier that the backbone lacks are left out. Running statistics
    count as parameters. Raises UserError, before anything is changed, when the file is not readable or a
    tensor is missing, unexpected or of another shape.
    """
    from ..nn import assign

    backbone = getattr(net, "backbone", net)
    prefix = backbone.prefix
    parameters = {
        plain_name(name[len(prefix) :] if name.startswith(prefix) else name): parameter
        for name, parameter in backbone.collect_params().items()
    }
    _, state = read_weights(path)
    try:
        arrays = short_names(_by_short_name(backbone, state))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    source = weight_layout([array.shape for array in arrays.values()])
    target = weight_layout([parameter.shape for parameter in parameters.values()])
    values = {}
    problems = _listing("missing", [name for name in parameters if name not in arrays])
    problems += _listing(
        "unexpected", [name for name in arrays if name not in parameters and not name.startswith(_SPARE)]
    )
    for name, parameter in parameters.items():
        if name in arrays:
            values[name] = in_layout(arrays[name], source, target)
            if values[name].shape != parameter.shape:
                problems.append(f"{name} is {arrays[name].shape}, the backbone has {parameter.shape}")
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        name = getattr(net, "model_name", "this network")
        raise UserError(f"{path}: does not fit the backbone of {name}: {'; '.join(problems[:3])}{more}")
    for name, parameter in parameters.items():
        assign(parameter, values[name])


def _by_short_name(backbone: Any, state: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Paths of attributes (``save_parameters``) of the backbone or its detector, turned to names."""
    paths = {path: parameter.name for path, parameter in backbone._collect_params_with_prefix().items()}
    for prefix in ("", "backbone."):
        names = {prefix + path: name for path, name in paths.items()}
        if set(names) <= set(state):
            return {name: state[path] for path, name in names.items()}
    return state


def weight_layout(shapes: Sequence[tuple[int, ...]]) -> str:
    """Layout of a network's convolution weights; kernels are square, so that the shapes tell."""
    for shape in shapes:
        if len(shape) == 4 and (shape[2] == shape[3]) != (shape[1] == shape[2]):
            return "NCHW" if shape[2] == shape[3] else "NHWC"
    return "NCHW"


def in_layout(array: np.ndarray, source: str, target: str) -> np.ndarray:
    """A parameter in another layout; only convolution weights, of four dimensions, depend on it."""
    if array.ndim != 4 or source == target:
        return array
    return array.transpose((0, 2, 3, 1) if source == "NCHW" else (0, 3, 1, 2))


def _listing(title: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return [f"{title} {', '.join(names[:5])}{more}"]
