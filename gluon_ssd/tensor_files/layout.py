"""The two layouts of convolution weights: OIHW in NCHW networks, and OHWI in NHWC networks.

Nothing here needs MXNet, because files are read and converted without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_AXES = {"NHWC": (0, 2, 3, 1), "NCHW": (0, 3, 1, 2)}
# NVIDIA's NHWC training pads images from 3 channels to 4, and the prediction layers to multiples of 8.
_IMAGE, _PADDED_IMAGE, _HEAD_MULTIPLE = 3, 4, 8


def weight_layout(shapes: Iterable[tuple[int, ...]]) -> str:
    """Returns the layout, ``NCHW`` or ``NHWC``, of a network's parameters, which have these ``shapes``.

    It is ``NCHW`` where no shape tells.
    """
    # Kernels are square, so the two equal sides of the first clear shape say where height and width are.
    for shape in shapes:
        if len(shape) == 4 and (shape[1] == shape[2]) != (shape[2] == shape[3]):
            return "NHWC" if shape[1] == shape[2] else "NCHW"
    return "NCHW"


def to_layout(array: Any, source: str, target: str) -> Any:
    """Returns a parameter, a NumPy array or an NDArray, in the layout ``target``.

    Only arrays of four dimensions depend on the layout.
    """
    return array if source == target or array.ndim != 4 else array.transpose(_AXES[target])


def all_to_layout(arrays: Mapping[str, Any], target: str) -> dict[str, Any]:
    """Returns the parameters of a network in the layout ``target``, whichever layout they have."""
    source = weight_layout(array.shape for array in arrays.values())
    return {name: to_layout(array, source, target) for name, array in arrays.items()}


def cut_padding(arrays: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Returns ``arrays`` without the padding of NVIDIA's NHWC networks, where they have it.

    ``shapes`` are those without padding, by the same names and in the same layout. A padded network is known
    by its stem, which takes 4 channels instead of 3; only then may prediction layers have additional rows.
    """
    # Nothing is lost: the padded channels see zeros, and the results of the padded rows are not used.
    cut = dict(arrays)
    stems = [name for name, array in arrays.items() if _is_padded_stem(array.shape, shapes.get(name, ()))]
    for name in stems:
        axis = shapes[name].index(_IMAGE, 1)
        cut[name] = arrays[name][(slice(None),) * axis + (slice(_IMAGE),)]
    for name, shape in shapes.items() if stems else ():
        if name in arrays and arrays[name].shape == (_up(shape[0], _HEAD_MULTIPLE), *shape[1:]):
            cut[name] = arrays[name][: shape[0]]
    return cut


def _is_padded_stem(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    if len(wanted) != 4 or wanted[1:].count(_IMAGE) != 1:
        return False
    axis = wanted.index(_IMAGE, 1)
    return tuple(found) == (*wanted[:axis], _PADDED_IMAGE, *wanted[axis + 1 :])


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
