"""NHWC and float16 on a CPU, composed of the operators that MXNet has there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import mxnet as mx

from .stock import StockOps, cast_all, in_order

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


class _Local(threading.local):
    training = False


_LOCAL = _Local()


@contextmanager
def training_graph() -> Iterator[None]:
    """Says that what this thread traces or runs inside the ``with`` block is trained, and never exported."""
    before, _LOCAL.training = _LOCAL.training, True
    try:
        yield
    finally:
        _LOCAL.training = before


@cache
def has_norm_relu() -> bool:
    """Tells whether norm and ReLU are one operator here, which oneDNN computes and nothing else."""
    switched_on = os.environ.get("MXNET_MKLDNN_ENABLED", "1") != "0"
    return (
        switched_on
        and mx.runtime.Features().is_enabled("MKLDNN")
        and hasattr(mx.sym.contrib, "BatchNormWithReLU")
    )


class EmulatedOps(StockOps):
    """Puts transposes and casts around the operators that take neither NHWC nor float16 on a CPU.

    Numbers are rounded to float16 where a GPU would store them; sums are float32, as on tensor cores.
    """

    name = "stock MXNet, with NHWC and float16 emulated"
    # oneDNN is slow at convolutions whose output channels do not fill whole vectors.
    channel_multiple = 16

    def convolution(
        self,
        F: Any,
        arrays: list[Any],
        *,
        layout: str,
        precision: str | None,
        tensor_cores: bool = False,
        attrs: Mapping[str, Any],
    ) -> Any:
        if precision == "bfloat16" and attrs["num_group"] > 1:
            # oneDNN cannot cast a grouped weight that it keeps in a layout of its own.
            precision, arrays = None, [F.amp_cast(arrays[0], dtype="float32"), *arrays[1:]]
        if layout == "NHWC":
            # The cast to float32 comes first, because MXNet crashes when it transposes bfloat16.
            data, weight = (F.amp_cast(array, dtype="float32") for array in arrays[:2])
            arrays = [F.transpose(data, axes=TO_NCHW), F.transpose(weight, axes=TO_NCHW), *arrays[2:]]
        arrays = cast_all(F, arrays, precision)
        if precision == "float16":
            # Casting to float16 and back rounds the inputs; there is no float16 convolution on a CPU.
            arrays = [F.amp_cast(array, dtype="float32") for array in arrays]
        x = F.Convolution(*arrays, name="fwd", **{**attrs, "layout": "NCHW"})
        if layout == "NHWC":
            x = F.transpose(F.amp_cast(x, dtype="float32"), axes=TO_NHWC)
        return F.amp_cast(x, dtype="float16") if precision == "float16" else x

    def norm(
        self,
        F: Any,
        x: Any,
        params: Mapping[str, Any],
        *,
        act: str | None = None,
        add: Any = None,
        layout: str,
        precision: str | None,
        attrs: Mapping[str, Any],
    ) -> Any:
        half = precision == "float16"
        if _LOCAL.training and act == "relu" and add is None and not half and _fits_norm_relu(attrs):
            return F.contrib.BatchNormWithReLU(x, *in_order(params), name="fwd", **attrs)
        if half:
            x = F.amp_cast(x, dtype="float32")
            add = None if add is None else F.amp_cast(add, dtype="float32")
        x = super().norm(F, x, params, act=act, add=add, layout=layout, precision=precision, attrs=attrs)
        return F.amp_cast(x, dtype="float16") if half else x

    def _plain_norm(self, F: Any, x: Any, params: Mapping[str, Any], attrs: Mapping[str, Any]) -> Any:
        if attrs["axis"] == 1:
            return super()._plain_norm(F, x, params, attrs)
        # MXNet 1.9.1 crashes in a norm over (N, 1, 1, C) after one over (N, C, 1, 1), because oneDNN's cache
        # takes one for the other.
        x = super()._plain_norm(F, F.transpose(x, axes=TO_NCHW), params, {**attrs, "axis": 1})
        return F.transpose(x, axes=TO_NHWC)


def _fits_norm_relu(attrs: Mapping[str, Any]) -> bool:
    """Tells whether norm and ReLU can be one operator, which has the statistics of the batch."""
    return attrs["axis"] == 1 and not attrs["use_global_stats"] and has_norm_relu()
