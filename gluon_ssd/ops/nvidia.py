"""The fused operators of NVIDIA's build of MXNet, which no other build has."""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mxnet as mx

from ..errors import UserError
from .stock import StockOps, cast_all, in_order


@dataclass(frozen=True)
class Features:
    """Says which of NVIDIA's operators and attributes this build of MXNet has."""

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


def detect_features(namespace: Any) -> Features:
    """Returns which of the operators and attributes are in ``namespace``, such as `mxnet.sym`."""

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
    """NVIDIA's operators where they exist and apply, and stock ones elsewhere.

    NVIDIA's fused norms work only for NHWC in float16, on cuDNN, with the statistics of the batch. For
    anything else the norm with ReLU ends the process, and the norm with an addend silently leaves the addend
    out. Source: NVIDIA's MXNet (operator/nn/cudnn/nhwc_batch_norm-inl.h, batch_norm.cu).
    """

    def __init__(self, features: Features) -> None:
        self.features = features
        self.name = f"NVIDIA's MXNet: {features}"

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
        if self.features.tensor_core_only and tensor_cores and precision == "float16":
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
        # A norm exchanges statistics only for float16; for a float32 map it would ignore the group.
        if "bn_group" in attrs:
            (x,) = cast_all(F, [x], precision)
        if act == "relu" and layout == "NHWC" and precision == "float16" and _fits_fused(attrs):
            if add is not None and self.features.norm_add_relu:
                x, add = cast_all(F, [x, add], precision)
                return _norm_add_relu(F, x, add, params, attrs)
            if add is None and self.features.norm_relu:
                (x,) = cast_all(F, [x], precision)
                return F.BatchNorm(x, *in_order(params), act_type=act, name="fwd", **attrs)
        return super().norm(F, x, params, act=act, add=add, layout=layout, precision=precision, attrs=attrs)

    def group_attributes(self, group: Any, layout: str) -> dict[str, Any] | None:
        if not self.features.norm_group or layout != "NHWC":
            return None
        _check_group(group, mx.context.num_gpus())
        return {"bn_group": group.size, "xbuf_ptr": exchange_buffers(group)}


def _fits_fused(attrs: Mapping[str, Any]) -> bool:
    """Tells whether a norm uses the statistics of the batch and cuDNN, as the fused norms require."""
    return not attrs["use_global_stats"] and not attrs.get("cudnn_off")


def _norm_add_relu(F: Any, x: Any, add: Any, params: Mapping[str, Any], attrs: Mapping[str, Any]) -> Any:
    # By name, so that nothing depends on where this operator has its addend.
    gamma, beta, mean, var = in_order(params)
    arrays = {"gamma": gamma, "beta": beta, "addend": add, "moving_mean": mean, "moving_var": var}
    return F.BatchNormAddRelu(data=x, **arrays, name="fwd", **attrs)


# NVIDIA's norm has at most three rounds of exchange, and each doubles the ranks whose sums are added.
_LARGEST_GROUP = 8


def _check_group(group: Any, gpus: int) -> None:
    """Raises UserError for a group that NVIDIA's norm cannot serve.

    In each round it exchanges with the GPU of the same machine whose number differs in one bit, and it takes
    the number of this process from the device on which it runs.
    """
    if group.size & (group.size - 1) or group.size > _LARGEST_GROUP:
        raise UserError(
            f"bn_group is {group.size}: NVIDIA's norm has groups of 2, 4 and 8; use one of these, or "
            "--layout NCHW, where groups of any size exchange through Horovod"
        )
    if group.local_size % group.size:
        raise UserError(
            f"bn_group is {group.size}, which does not divide the {group.local_size} processes of this "
            "machine, and NVIDIA's norm has no groups across machines; use another group, or --layout NCHW"
        )
    if gpus < group.local_size:
        raise UserError(
            f"bn_group is {group.size}, but this process sees {gpus} of the {group.local_size} GPUs of its "
            "machine, and NVIDIA's norm exchanges by their numbers; start without --gpus-per-task and "
            "--gpu-bind, so that every process sees all GPUs, or use --layout NCHW"
        )


# The size of a cudaIpcMemHandle_t, by which another process opens memory of a GPU.
_HANDLE_BYTES = 64
# The operators keep the addresses of these buffers, so they must not be freed while the process lives.
_BUFFERS: list[Any] = []


def exchange_buffers(group: Any, library: Any = None) -> int:
    """Opens the buffers through which the GPUs of one machine exchange statistics, and returns their address.

    Every norm needs buffers of its own. ``group`` has, besides the ``size`` of `nn.RankGroup` (2, 4 or 8),
    its ``local_rank`` and ``local_size`` on this machine and ``gather_local(bytes) -> list of bytes``.
    ``library`` is NVIDIA's MXNet; None stands for the one that is loaded.
    """
    library = mx.base._LIB if library is None else library
    rank, ranks, rounds = group.local_rank, group.local_size, group.size.bit_length() - 1
    # Each process allocates a buffer on its GPU, shares the handle with the others, and opens theirs.
    buffers = (ctypes.c_void_p * ranks)()
    handle = ctypes.create_string_buffer(_HANDLE_BYTES)
    mx.base.check_call(library.MXInitXBufSingle(rank, rounds, buffers, handle))
    handles = ctypes.create_string_buffer(b"".join(group.gather_local(handle.raw)), _HANDLE_BYTES * ranks)
    mx.base.check_call(library.MXOpenIpcHandles(rank, ranks, rounds, buffers, handles))
    _BUFFERS.append(buffers)
    return ctypes.addressof(buffers)
