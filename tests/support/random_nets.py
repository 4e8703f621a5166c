"""Networks with values as a training leaves them: norms that have seen data, and scores that do not tie."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np

from gluon_ssd.model_zoo import get_model
from gluon_ssd.nn import assign


def network(name: str, classes: Any = ("cat", "dog", "bird"), **options: Any) -> Any:
    """A network of the zoo with random values, the same each time."""
    mx.random.seed(1)
    net = get_model(name, classes, **options)
    random = np.random.RandomState(0)
    for key, parameter in net.collect_params().items():
        shape = parameter.shape
        if key.endswith(("running_mean", "beta")):
            assign(parameter, random.randn(*shape) * 0.02)
        elif key.endswith("running_var"):
            assign(parameter, random.rand(*shape) * 0.2 + 0.9)
        elif key.endswith("weight") and ("predictor" in key or "head0_output" in key):
            assign(parameter, parameter.data().asnumpy() * 0.02)
    return net


def trial_size(net: Any) -> tuple[int, int]:
    """(height, width) to try a network with: its own where it takes no other, else a small one."""
    if not net.fixed_size:
        return 96, 128
    if max(net.input_size) <= 512:
        return net.input_size
    # Its layers take smaller images, which only its default boxes are not for.
    net.fixed_size = False
    return 400, 400
