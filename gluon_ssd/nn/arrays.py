"""Values into parameters."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np


def assign(parameter: Any, value: np.ndarray) -> None:
    """Sets an initialised parameter on all its devices to ``value`` of the same shape, in its own dtype.

    By way of an NDArray: once a graph has run, oneDNN may hold the parameter in a layout of its own, into
    which MXNet refuses to copy from NumPy.
    """
    parameter.set_data(mx.nd.array(value, dtype=parameter.dtype))
