"""Sets the values of parameters."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np


def assign(parameter: Any, value: np.ndarray) -> None:
    """Sets an initialised parameter to ``value`` on all its devices.

    ``value`` has the shape of the parameter and is converted to its dtype.
    """
    # Once a graph has run, oneDNN may hold the parameter in a layout of its own, and MXNet refuses to copy a
    # NumPy array into that. It does copy an NDArray.
    parameter.set_data(mx.nd.array(value, dtype=parameter.dtype))
