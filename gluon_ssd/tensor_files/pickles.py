"""Reads and writes NVIDIA's backbone files: a pickled dictionary of arrays, by short names of parameters."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..files import as_path, atomic_write
from . import numpy_pickle
from .backbone_names import backbone_arrays
from .numpy_pickle import NumpyArray
from .safe_pickle import Refused, load_pickle
from .torch_reader import readable

# It holds arrays as plain bytes, and Python reads it from version 3.4 on.
_PROTOCOL = 4


def read_pickle(path: str | Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a pickled dictionary by name, without running anything in the file.

    The arrays are views of the bytes of the file and cannot be written to. Raises UserError for a file that
    is damaged or holds anything but arrays of numbers.
    """
    path = as_path(path)
    with readable(path, "pickle of arrays"):
        value: Any = load_pickle(path.read_bytes(), numpy_pickle.ALLOWED)
        if not isinstance(value, dict):
            raise Refused("it holds no dictionary of arrays")
        arrays = {}
        for name, item in value.items():
            if not isinstance(name, str) or not isinstance(item, NumpyArray) or item.value is None:
                raise Refused("it holds something else than named arrays")
            arrays[name] = item.value
        if not arrays:
            raise Refused("it holds no arrays")
        return arrays


def write_backbone_pickle(
    state: Mapping[str, np.ndarray], path: str | Path, stages: int | None = None
) -> dict[str, np.ndarray]:
    """Writes the backbone of a torchvision ResNet or ResNeXt, and returns the arrays that were written.

    ``state`` has torchvision's names or the short ones, and convolutions as OIHW. ``stages`` is the number of
    stages to keep, by default 3 (SSD), or 4 of a ResNeXt (RetinaNet). The classifier is left out. Raises
    UserError when ``state`` is no such network or the file cannot be written.
    """
    arrays = backbone_arrays(state, stages)
    with atomic_write(as_path(path)) as temporary, temporary.open("wb") as file:
        pickle.dump(arrays, file, _PROTOCOL)
    return arrays
