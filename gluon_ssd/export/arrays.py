"""Arithmetic, comparisons, reductions and changes of shape in ONNX."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from onnx import TensorProto

from .operators import TRANSLATIONS, Call, ints, number, operator

_TO_THE_END = np.iinfo(np.int64).max
_UNARY = {
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "sigmoid": "Sigmoid",
    "relu": "Relu",
    "tanh": "Tanh",
    "floor": "Floor",
    "ceil": "Ceil",
    "abs": "Abs",
    "negative": "Neg",
    "sign": "Sign",
    "reciprocal": "Reciprocal",
    "erf": "Erf",
    "softsign": "Softsign",
    "_copy": "Identity",
    "identity": "Identity",
    "BlockGrad": "Identity",
    "Dropout": "Identity",
}
_BINARY = {
    "add": "Add",
    "plus": "Add",
    "sub": "Sub",
    "minus": "Sub",
    "mul": "Mul",
    "div": "Div",
    "maximum": "Max",
    "minimum": "Min",
    "power": "Pow",
}
_COMPARISONS = {
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "lesser": "Less",
    "lesser_equal": "LessOrEqual",
    "equal": "Equal",
}


def _unary(onnx_op: str, call: Call) -> str:
    return call.add(onnx_op, call.inputs[0])


def _binary(onnx_op: str, call: Call) -> str:
    return call.add(onnx_op, *call.inputs)


def _with_scalar(onnx_op: str, swapped: bool, call: Call) -> str:
    pair = [call.inputs[0], number(float(call.get("scalar")))]
    return call.add(onnx_op, *(pair[::-1] if swapped else pair))


def _compare(onnx_op: str, call: Call) -> str:
    """MXNet's comparisons give numbers, 1 and 0."""
    second = call.inputs[1] if len(call.inputs) > 1 else number(float(call.get("scalar")))
    return call.add("Cast", call.add(onnx_op, call.inputs[0], second), to=TensorProto.FLOAT)


for _name, _op in _UNARY.items():
    TRANSLATIONS[_name] = partial(_unary, _op)
for _name, _op in _BINARY.items():
    for _spelling in (f"elemwise_{_name}", f"broadcast_{_name}", f"_{_name}"):
        TRANSLATIONS[_spelling] = partial(_binary, _op)
    TRANSLATIONS[f"_{_name}_scalar"] = partial(_with_scalar, _op, False)
    TRANSLATIONS[f"_r{_name}_scalar"] = partial(_with_scalar, _op, True)
for _name, _op in _COMPARISONS.items():
    for _spelling in (f"_{_name}_scalar", f"broadcast_{_name}", f"_{_name}"):
        TRANSLATIONS[_spelling] = partial(_compare, _op)


@operator("amp_cast", "Cast")
def cast(call: Call) -> str:
    """Floating types are all float32 in what is exported, and so are numbers that count."""
    return call.inputs[0]


@operator("square")
def square(call: Call) -> str:
    return call.add("Mul", call.inputs[0], call.inputs[0])


@operator("add_n", "ElementWiseSum")
def total(call: Call) -> str:
    return call.add("Sum", *call.inputs)


@operator("clip")
def clip(call: Call) -> str:
    return call.add("Clip", call.inputs[0], number(call.get("a_min")), number(call.get("a_max")))


@operator("softmax", "SoftmaxActivation")
def softmax(call: Call) -> str:
    if call.get("temperature") not in (None, 1.0) or call.get("use_length", False):
        raise call.refuse("with a temperature or lengths")
    axis = 1 if call.op == "SoftmaxActivation" else call.get("axis", -1)
    return call.add("Softmax", call.inputs[0], axis=axis)


@operator("log_softmax")
def log_softmax(call: Call) -> str:
    return call.add("LogSoftmax", call.inputs[0], axis=call.get("axis", -1))


def _axes(call: Call) -> list[int]:
    rank, axis = len(call.shapes[0]), call.get("axis")
    if axis in (None, ()):
        return list(range(rank))
    given = [place % rank for place in ((axis,) if isinstance(axis, int) else axis)]
    return [place for place in range(rank) if (place in given) != bool(call.get("exclude", False))]


@operator("sum", "_np_sum")
def reduce_sum(call: Call) -> str:
    keep = int(call.get("keepdims", False))
    return call.add("ReduceSum", call.inputs[0], ints(*_axes(call)), keepdims=keep)


@operator("max", "min", "mean", "prod")
def reduce(call: Call) -> str:
    names = {"max": "ReduceMax", "min": "ReduceMin", "mean": "ReduceMean", "prod": "ReduceProd"}
    keep = int(call.get("keepdims", False))
    return call.add(names[call.op], call.inputs[0], axes=_axes(call), keepdims=keep)


@operator("_np_cumsum")
def cumulative_sum(call: Call) -> str:
    axis, shape = call.get("axis"), call.shapes[0]
    if axis is None:
        raise call.refuse("without an axis")
    if axis != 1 or len(shape) != 3:
        return call.add("CumSum", call.inputs[0], np.array(axis, dtype=np.int64))
    return _sum_in_blocks(call, *shape[1:])


def _sum_in_blocks(call: Call, rows: int, columns: int) -> str:
    """The cumulative sum of (N, ``rows``, ``columns``) along the rows.

    Runtimes add up a long axis one number at a time. Here blocks of rows are summed by a small matrix, and
    each then gets the sum of the blocks before it.
    """
    size = max(part for part in range(1, int(rows**0.5) + 1) if rows % part == 0)
    blocks = call.add("Reshape", call.inputs[0], ints(0, -1, size, columns))
    inside = call.add("MatMul", np.tri(size, dtype=np.float32), blocks)
    totals = call.add("ReduceSum", blocks, ints(2), keepdims=1)
    before = call.add("Sub", call.add("CumSum", totals, np.array(1, dtype=np.int64)), totals)
    return call.add("Reshape", call.add("Add", inside, before), ints(0, -1, columns))


@operator("Reshape", "reshape")
def reshape(call: Call) -> str:
    shape = call.get("shape")
    if call.get("reverse", False) or min(shape) < -1:
        raise call.refuse(f"with shape {shape}; only 0 and one -1 have a meaning there")
    return call.add("Reshape", call.inputs[0], ints(*shape))


@operator("Flatten", "flatten")
def flatten(call: Call) -> str:
    return call.add("Flatten", call.inputs[0], axis=1)


@operator("transpose")
def transpose(call: Call) -> str:
    axes = call.get("axes") or tuple(reversed(range(len(call.shapes[0]))))
    return call.add("Transpose", call.inputs[0], perm=list(axes))


@operator("SwapAxis")
def swap_axes(call: Call) -> str:
    order = list(range(len(call.shapes[0])))
    one, two = call.get("dim1", 0), call.get("dim2", 0)
    order[one], order[two] = order[two], order[one]
    return call.add("Transpose", call.inputs[0], perm=order)


@operator("expand_dims")
def expand_dims(call: Call) -> str:
    return call.add("Unsqueeze", call.inputs[0], ints(call.get("axis")))


@operator("squeeze")
def squeeze(call: Call) -> str:
    axis = call.get("axis")
    if axis is None:
        raise call.refuse("without an axis")
    return call.add("Squeeze", call.inputs[0], ints(*((axis,) if isinstance(axis, int) else axis)))


@operator("Concat", "concat")
def concat(call: Call) -> str:
    return call.add("Concat", *call.inputs, axis=call.get("dim", 1))


@operator("stack")
def stack(call: Call) -> str:
    axis = call.get("axis", 0)
    parts = [call.add("Unsqueeze", part, ints(axis)) for part in call.inputs]
    return call.add("Concat", *parts, axis=axis)


@operator("SliceChannel", "split")
def split(call: Call) -> Any:
    axis, count = call.get("axis", 1), call.get("num_outputs")
    sizes = ints(*[call.shapes[0][axis] // count] * count)
    parts = call.add("Split", call.inputs[0], sizes, axis=axis, outputs=count)
    parts = [parts] if count == 1 else parts
    if call.get("squeeze_axis", False):
        parts = [call.add("Squeeze", part, ints(axis)) for part in parts]
    return parts


def _sliced(call: Call, begins: list[int], ends: list[int], axes: list[int]) -> str:
    return call.add("Slice", call.inputs[0], ints(*begins), ints(*ends), ints(*axes))


@operator("slice_axis")
def slice_axis(call: Call) -> str:
    end = call.get("end")
    return _sliced(call, [call.get("begin")], [_TO_THE_END if end is None else end], [call.get("axis")])


@operator("slice")
def slices(call: Call) -> str:
    if any(step not in (None, 1) for step in call.get("step") or ()):
        raise call.refuse("with a step")
    begins = [begin or 0 for begin in call.get("begin")]
    ends = [_TO_THE_END if end is None else end for end in call.get("end")]
    return _sliced(call, begins, ends, list(range(len(begins))))


@operator("slice_like")
def slice_like(call: Call) -> str:
    axes = call.get("axes")
    if not axes or any(axis % len(call.shapes[0]) == 0 for axis in axes):
        raise call.refuse("along the batch")
    return _sliced(call, [0] * len(axes), [call.shapes[1][axis] for axis in axes], list(axes))


@operator("zeros_like")
def zeros_like(call: Call) -> str:
    return call.add("Mul", call.inputs[0], number(0))


@operator("ones_like")
def ones_like(call: Call) -> str:
    return call.add("Add", call.add("Mul", call.inputs[0], number(0)), number(1))


@operator("Pad", "pad")
def pad(call: Call) -> str:
    mode, width = call.get("mode", "constant"), call.get("pad_width")
    pads = ints(*width[::2], *width[1::2])
    value = [number(call.get("constant_value", 0.0))] if mode == "constant" else []
    return call.add("Pad", call.inputs[0], pads, *value, mode=mode)


@operator("repeat")
def repeat(call: Call) -> str:
    axis, times = call.get("axis"), call.get("repeats")
    if axis is None:
        raise call.refuse("without an axis")
    wide = call.add("Unsqueeze", call.inputs[0], ints(axis + 1))
    several = call.add("Concat", *[wide] * times, axis=axis + 1)
    shape = [0 if place < axis else size for place, size in enumerate(call.output_shape)]
    shape[axis] = -1
    return call.add("Reshape", several, ints(*shape))
