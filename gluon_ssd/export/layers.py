"""Layers with weights, norms, activations and pooling in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from .operators import Call, ints, number, operator

_ACTIVATIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softrelu": "Softplus",
    "softsign": "Softsign",
}


def _both_ends(pads: tuple[int, ...]) -> list[int]:
    return [*pads, *pads]


def _geometry(call: Call) -> dict[str, Any]:
    kernel = call.get("kernel")
    return {
        "kernel_shape": list(kernel),
        "strides": list(call.get("stride") or (1,) * len(kernel)),
        "pads": _both_ends(call.get("pad") or (0,) * len(kernel)),
    }


def _dilations(call: Call) -> dict[str, Any]:
    dilate = call.get("dilate") or (1,) * len(call.get("kernel"))
    return {"dilations": list(dilate), "group": call.get("num_group", 1)}


@operator("Convolution")
def convolution(call: Call) -> str:
    if call.get("layout") not in (None, "NCHW", "NCW"):
        raise call.refuse(f"in layout {call.get('layout')}")
    return call.add("Conv", *call.inputs, **_geometry(call), **_dilations(call))


@operator("Deconvolution")
def deconvolution(call: Call) -> str:
    if call.get("target_shape"):
        raise call.refuse("with a target_shape")
    extra = {"output_padding": list(call.get("adj"))} if call.get("adj") else {}
    return call.add("ConvTranspose", *call.inputs, **_geometry(call), **_dilations(call), **extra)


@operator("FullyConnected")
def dense(call: Call) -> str:
    if call.get("flatten", True):
        x = call.add("Flatten", call.inputs[0], axis=1)
        return call.add("Gemm", x, *call.inputs[1:], transB=1)
    x = call.add("MatMul", call.inputs[0], call.add("Transpose", call.inputs[1], perm=[1, 0]))
    return call.add("Add", x, call.inputs[2]) if len(call.inputs) > 2 else x


@operator("BatchNorm", "BatchNorm_v1", "_contrib_BatchNormWithReLU")
def batch_norm(call: Call) -> str:
    if call.get("axis", 1) != 1:
        raise call.refuse(f"over axis {call.get('axis')}")
    x, gamma, beta, mean, variance = call.inputs
    if call.get("fix_gamma", True):
        gamma = call.graph.constant(np.ones_like(call.graph.constants[gamma]), gamma)
    epsilon = float(call.get("eps", 1e-3))
    y = call.add("BatchNormalization", x, gamma, beta, mean, variance, epsilon=epsilon)
    return call.add("Relu", y) if call.op.endswith("WithReLU") else y


@operator("InstanceNorm")
def instance_norm(call: Call) -> str:
    return call.add("InstanceNormalization", *call.inputs, epsilon=float(call.get("eps", 1e-3)))


@operator("GroupNorm")
def group_norm(call: Call) -> str:
    """An instance norm whose channels are the groups: ONNX has a group norm only in later versions."""
    x, *scale_and_shift = call.inputs
    rows = call.add("Reshape", x, ints(0, call.get("num_groups", 1), -1))
    epsilon = float(call.get("eps", 1e-5))
    rows = call.add("InstanceNormalization", rows, *scale_and_shift, epsilon=epsilon)
    return call.add("Reshape", rows, ints(0, *call.shapes[0][1:]))


@operator("Activation")
def activation(call: Call) -> str:
    kind = call.get("act_type")
    if kind not in _ACTIVATIONS:
        raise call.refuse(f"with act_type {kind}")
    return call.add(_ACTIVATIONS[kind], call.inputs[0])


@operator("LeakyReLU")
def leaky_relu(call: Call) -> str:
    kind, x = call.get("act_type", "leaky"), call.inputs[0]
    slope = float(call.get("slope", 0.25))
    if kind == "leaky":
        return call.add("LeakyRelu", x, alpha=slope)
    if kind == "elu":
        return call.add("Elu", x, alpha=slope)
    if kind == "selu":
        return call.add("Selu", x)
    if kind == "prelu":
        shape = ints(*([-1] + [1] * (len(call.shapes[0]) - 2)))
        return call.add("PRelu", x, call.add("Reshape", call.inputs[1], shape))
    raise call.refuse(f"with act_type {kind}")


@operator("hard_sigmoid")
def hard_sigmoid(call: Call) -> str:
    slope = {"alpha": float(call.get("alpha", 0.2)), "beta": float(call.get("beta", 0.5))}
    return call.add("HardSigmoid", call.inputs[0], **slope)


@operator("Pooling", "Pooling_v1")
def pooling(call: Call) -> str:
    kind, x = call.get("pool_type", "max"), call.inputs[0]
    if kind not in ("max", "avg") or call.get("layout") not in (None, "NCHW", "NCW"):
        raise call.refuse(f"as pool_type {kind} in layout {call.get('layout', 'NCHW')}")
    if call.get("global_pool", False):
        return call.add("GlobalMaxPool" if kind == "max" else "GlobalAveragePool", x)
    geometry = _geometry(call)
    if call.get("pooling_convention", "valid") != "valid":
        geometry["pads"] = _pads_of(call, geometry)
    if kind == "max":
        return call.add("MaxPool", x, **geometry)
    counted = call.get("count_include_pad")
    return call.add("AveragePool", x, count_include_pad=int(counted in (None, True)), **geometry)


def _pads_of(call: Call, geometry: dict[str, Any]) -> list[int]:
    """Padding that gives the sizes that MXNet gives where it rounds up.

    ONNX rounds up, too, but not every runtime drops the same window at the far side.
    """
    begin = geometry["pads"][: len(geometry["kernel_shape"])]
    if call.get("pool_type") == "avg" and call.get("count_include_pad") in (None, True):
        raise call.refuse("as an average that counts padding and rounds sizes up")
    ends = [
        max(pad, (out - 1) * stride + kernel - size - pad)
        for pad, out, stride, kernel, size in zip(
            begin, call.output_shape[2:], geometry["strides"], geometry["kernel_shape"], call.shapes[0][2:]
        )
    ]
    return [*begin, *ends]


@operator("UpSampling")
def upsampling(call: Call) -> str:
    if call.get("sample_type") != "nearest" or len(call.inputs) > 1:
        raise call.refuse("but as nearest, of one input")
    scale = float(call.get("scale"))
    scales = np.array([1, 1, scale, scale], dtype=np.float32)
    modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return call.add("Resize", call.inputs[0], np.zeros(0, np.float32), scales, **modes)


@operator("LRN")
def local_response_norm(call: Call) -> str:
    names = {"alpha": "alpha", "beta": "beta", "knorm": "bias"}
    defaults = {"alpha": 1e-4, "beta": 0.75, "knorm": 2.0}
    values = {theirs: float(call.get(ours, defaults[ours])) for ours, theirs in names.items()}
    return call.add("LRN", call.inputs[0], size=int(call.get("nsize")), **values)


@operator("L2Normalization")
def l2_normalization(call: Call) -> str:
    axes = {"instance": list(range(1, len(call.shapes[0]))), "channel": [1], "spatial": [2, 3]}
    squares = call.add("Mul", call.inputs[0], call.inputs[0])
    total = call.add("ReduceSum", squares, ints(*axes[call.get("mode", "instance")]))
    root = call.add("Sqrt", call.add("Add", total, number(call.get("eps", 1e-10))))
    return call.add("Div", call.inputs[0], root)
