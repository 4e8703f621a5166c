"""Convolution weights in the two layouts: OIHW (of NCHW networks) and OHWI (of NHWC ones)."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

import numpy as np

_AXES = {"NHWC": (0, 2, 3, 1), "NCHW": (0, 3, 1, 2)}


def weight_layout(shapes: Iterable[tuple[int, ...]]) -> str:
    """The layout that a network's parameters are in. Kernels are square, so that their shapes tell."""
    for shape in shapes:
        if len(shape) == 4 and (shape[1] == shape[2]) != (shape[2] == shape[3]):
            return "NHWC" if shape[1] == shape[2] else "NCHW"
    return "NCHW"


def to_layout(array: Any, source: str, target: str) -> Any:
    """A parameter (NumPy array or NDArray) in another layout; only four dimensions depend on it."""
    return array if source == target or array.ndim != 4 else array.transpose(_AXES[target])


def all_to_layout(arrays: Mapping[str, Any], target: str) -> dict[str, Any]:
    """A network's parameters in ``target``, whichever layout they are in."""
    source = weight_layout(array.shape for array in arrays.values())
    return {name: to_layout(array, source, target) for name, array in arrays.items()}


def shape_in(shape: tuple[int, ...], source: str, target: str) -> tuple[int, ...]:
    """The shape of a parameter in another layout."""
    if source == target or len(shape) != 4:
        return tuple(shape)
    return tuple(int(side) for side in np.array(shape)[list(_AXES[target])])
