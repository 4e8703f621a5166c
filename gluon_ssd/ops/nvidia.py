"""The fused operators of NVIDIA's build of MXNet, which no other build has."""

from __future__ import annotations

import ctypes
import inspect
from dataclasses import dataclass
from typing import Any, Mapping

import mxnet as mx

from .stock import StockOps, cast_all, in_order


@dataclass(frozen=True)
class Features:
    """Which of NVIDIA's operators and attributes this MXNet has."""

    norm_relu: bool = False
    norm_add_relu: bool = False
    norm_group: bool = False
    tensor_core_only: bool = False

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def __str__(self) -> str:
        names = {
            "norm_relu": "BatchNorm(act_type)",
            "norm_add_relu": "BatchNormAddRelu",
            "norm_group": "BatchNorm(bn_group)",
            "tensor_core_only": "Convolution(cudnn_tensor_core_only)",
        }
        return ", ".join(label for name, label in names.items() if getattr(self, name))


def detect(namespace: Any) -> Features:
    """Looks the operators and their attributes up in ``namespace``, such as `mxnet.sym`."""

    def takes(operator: str, attribute: str) -> bool:
        function = getattr(namespace, operator, None)
        return function is not None and attribute in inspect.signature(function).parameters

    return Features(
        norm_relu=takes("BatchNorm", "act_type"),
        norm_add_relu=hasattr(namespace, "BatchNormAddRelu"),
        norm_group=takes("BatchNorm", "bn_group"),
        tensor_core_only=takes("Convolution", "cudnn_tensor_core_only"),
    )


class NvidiaOps(StockOps):
    """NVIDIA's operators where they exist and apply, stock ones elsewhere.

    The fused norms are for NHWC in float16; the group of a norm (``bn_group``, ``xbuf_ptr``) comes with its
    attributes.
    """

    def __init__(self, features: Features) -> None:
        self.features = features
        self.name = f"NVIDIA's MXNet: {features}"

    def convolution(
        self, F: Any, arrays: list[Any], *, layout: str, precision: str | None, attrs: Mapping[str, Any]
    ) -> Any:
        if self.features.tensor_core_only and precision == "float16":
            attrs = {**attrs, "cudnn_tensor_core_only": True}
        return super().convolution(F, arrays, layout=layout, precision=precision, attrs=attrs)

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
        fits = act == "relu" and layout == "NHWC" and precision == "float16" and not attrs.get("cudnn_off")
        if fits and add is not None and self.features.norm_add_relu:
            gamma, beta, mean, var = in_order(params)
            x, add = cast_all(F, [x, add], precision)
            return F.BatchNormAddRelu(
                data=x,
                gamma=gamma,
                beta=beta,
                addend=add,
                moving_mean=mean,
                moving_var=var,
                name="fwd",
                **{key: value for key, value in attrs.items() if key != "cudnn_off"},
            )
        if fits and add is None and self.features.norm_relu:
            (x,) = cast_all(F, [x], precision)
            return F.BatchNorm(x, *in_order(params), act_type=act, name="fwd", **attrs)
        return super().norm(F, x, params, act=act, add=add, layout=layout, precision=precision, attrs=attrs)

    def group_attributes(self, group: Any) -> dict[str, Any] | None:
        if not self.features.norm_group:
            return None
        return {"bn_group": group.size, "xbuf_ptr": exchange_buffers(group)}


_HANDLE_BYTES = 64
# The operators keep addresses of these.
_BUFFERS: list[Any] = []


def exchange_buffers(group: Any, library: Any = None) -> int:
    """Opens the buffers through which the GPUs of one machine exchange statistics; returns their address.

    ``group``: besides `nn.RankGroup`'s ``size`` (a power of two) its ``local_rank`` and ``local_size`` on
    this machine and ``gather_local(bytes) -> list of bytes``. Once per norm. ``library``: NVIDIA's MXNet.
    """
    library = mx.base._LIB if library is None else library
    rank, ranks, rounds = group.local_rank, group.local_size, group.size.bit_length() - 1
    buffers = (ctypes.c_void_p * ranks)()
    handle = ctypes.create_string_buffer(_HANDLE_BYTES)
    mx.base.check_call(library.MXInitXBufSingle(rank, rounds, buffers, handle))
    handles = ctypes.create_string_buffer(b"".join(group.gather_local(handle.raw)), _HANDLE_BYTES * ranks)
    mx.base.check_call(library.MXOpenIpcHandles(rank, ranks, rounds, buffers, handles))
    _BUFFERS.append(buffers)
    return ctypes.addressof(buffers)
