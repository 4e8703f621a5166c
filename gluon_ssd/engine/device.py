"""Where a network runs."""

from __future__ import annotations

import mxnet as mx

from ..errors import UserError


def pick_device(name: str = "auto") -> mx.Context:
    """The context of ``auto`` (a GPU if MXNet sees one), ``cpu`` or ``gpu``. Raises UserError for no GPU."""
    gpus = mx.context.num_gpus() if name != "cpu" else 0
    if name == "gpu" and not gpus:
        raise UserError("device gpu: MXNet sees no GPU here; use device cpu, or see gluon-ssd doctor")
    return mx.gpu(0) if gpus else mx.cpu()
