"""Makes a network faster on a CPU, for inference only."""

from __future__ import annotations

from typing import Any

import mxnet as mx

from ..nn import assign
from . import get_model


def fused_copy(net: Any) -> Any:
    """Returns a copy of a network that computes norms and ReLUs inside its convolutions.

    ``net`` is a float32 NCHW network on a CPU. The outputs are equal up to rounding. The copy cannot be
    trained.
    """
    # oneDNN folds the norms into the weights at the first call and keeps the result. The network itself would
    # neither train from then on nor follow later changes of its parameters.
    copy = plain_copy(net)
    copy.hybridize(backend="MKLDNN", static_alloc=True)
    return copy


def plain_copy(net: Any) -> Any:
    """Returns a copy of a network, with the same values, on the CPU."""
    copy = get_model(net.model_name, net.classes, ctx=mx.cpu(), **net.options)
    copy.preprocess, copy.category_ids = net.preprocess, net.category_ids
    copy.best_threshold = net.best_threshold
    parameters = copy.collect_params()
    for name, parameter in net.collect_params().items():
        assign(parameters[name], parameter.data().asnumpy())
    return copy


def can_fuse(net: Any) -> bool:
    """Tells whether `fused_copy` fits ``net``: on a CPU, float32 throughout, and in layout NCHW."""
    parameters = net.collect_params().values()
    # Gluon keeps the type of a parameter as text or as NumPy's class, depending on how it was set.
    plain = all(parameter.dtype in ("float32", mx.nd.zeros(1).dtype) for parameter in parameters)
    on_cpu = all(context.device_type == "cpu" for parameter in parameters for context in parameter.list_ctx())
    low: list[str] = []
    net.apply(lambda block: low.append("") if getattr(block, "compute_dtype", None) else None)
    return plain and on_cpu and not low and not {"layout", "dtype"} & set(net.options)
