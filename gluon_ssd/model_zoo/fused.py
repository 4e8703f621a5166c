"""A network made ready for nothing but inference on CPU."""

from __future__ import annotations

from typing import Any

import mxnet as mx

from ..nn import assign
from . import get_model


def fused_copy(net: Any) -> Any:
    """A copy of a float32 NCHW network on CPU whose norms and ReLUs oneDNN computes inside its convolutions.

    It is a copy because the folded weights are kept from the first call on: a network in this state neither
    trains nor follows later changes of its parameters. Outputs agree to rounding.
    """
    copy = plain_copy(net)
    copy.hybridize(backend="MKLDNN", static_alloc=True)
    return copy


def plain_copy(net: Any) -> Any:
    """A copy of a network, with the same values, on CPU."""
    copy = get_model(net.model_name, net.classes, ctx=mx.cpu(), **net.options)
    copy.preprocess, copy.category_ids = net.preprocess, net.category_ids
    parameters = copy.collect_params()
    for name, parameter in net.collect_params().items():
        assign(parameters[name], parameter.data().asnumpy())
    return copy


def can_fuse(net: Any) -> bool:
    """Whether `fused_copy` is for this network: on CPU, all float32, computing in float32, NCHW."""
    parameters = net.collect_params().values()
    plain = all(parameter.dtype in ("float32", mx.nd.zeros(1).dtype) for parameter in parameters)
    on_cpu = all(context.device_type == "cpu" for parameter in parameters for context in parameter.list_ctx())
    low: list[str] = []
    net.apply(lambda block: low.append("") if getattr(block, "compute_dtype", None) else None)
    return plain and on_cpu and not low and not {"layout", "dtype"} & set(net.options)
