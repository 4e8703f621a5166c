"""An ONNX model of this library as Python source that needs torch alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import UserError

_TYPES = {TensorProto.FLOAT: "torch.float32", TensorProto.INT64: "torch.int64"}
_FUNCTIONS = {
    "Relu": "torch.relu({0})",
    "Sigmoid": "torch.sigmoid({0})",
    "Tanh": "torch.tanh({0})",
    "Softplus": "F.softplus({0})",
    "Softsign": "F.softsign({0})",
    "Selu": "F.selu({0})",
    "PRelu": "F.relu({0}) - {1} * F.relu(-{0})",
    "Exp": "torch.exp({0})",
    "Log": "torch.log({0})",
    "Sqrt": "torch.sqrt({0})",
    "Floor": "torch.floor({0})",
    "Ceil": "torch.ceil({0})",
    "Abs": "torch.abs({0})",
    "Neg": "-{0}",
    "Sign": "torch.sign({0})",
    "Reciprocal": "torch.reciprocal({0})",
    "Erf": "torch.erf({0})",
    "Identity": "{0}",
    "Add": "{0} + {1}",
    "Sub": "{0} - {1}",
    "Mul": "{0} * {1}",
    "Div": "{0} / {1}",
    "Pow": "{0} ** {1}",
    "Greater": "{0} > {1}",
    "GreaterOrEqual": "{0} >= {1}",
    "Less": "{0} < {1}",
    "LessOrEqual": "{0} <= {1}",
    "Equal": "{0} == {1}",
    "MatMul": "{0} @ {1}",
    "GlobalAveragePool": "{0}.mean((2, 3), keepdim=True)",
    "GlobalMaxPool": "{0}.amax((2, 3), keepdim=True)",
    "GatherND": "{0}[{1}[..., 0], {1}[..., 1]]",
    "ScatterND": "{0}.index_put(({1}[:, 0], {1}[:, 1]), {2})",
    "Expand": "broadcast({0}, {1})",
}
# What makes lists of sizes of lists of sizes.
_KEEP_SIZES = ("Gather", "Slice", "Concat")
_END = np.iinfo(np.int64).max


class Source:
    """The statements that compute a model, one a node, and the tensors that they read from ``self``."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        self.tensors: dict[str, np.ndarray] = {}
        self._names: dict[str, str] = {}
        # Values that are lists of sizes, which torch has outside its tensors.
        self._sizes: set[str] = set()
        for value in model.graph.input:
            self._name(value.name)
        self.lines = [self._statement(node) for node in model.graph.node]
        self.outputs = [self._names[value.name] for value in model.graph.output]

    def _name(self, value: str) -> str:
        """The variable of a value; every value has its own."""
        plain = re.sub(r"\W", "_", value)
        self._names[value] = plain if plain not in self._names.values() else f"{plain}_{len(self._names)}"
        return self._names[value]

    def _operand(self, value: str) -> str:
        if value not in self.constants:
            return self._names[value]
        array = self.constants[value]
        if array.ndim == 0:
            return repr(array.item())
        if array.dtype.kind == "i":
            return repr(array.tolist())
        name = re.sub(r"\W", "_", value)
        self.tensors[name] = array
        return f"self.{name}"

    def _statement(self, node: onnx.NodeProto) -> str:
        write = getattr(self, f"_{node.op_type.lower()}", None)
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type in _FUNCTIONS:
            text = _FUNCTIONS[node.op_type].format(*map(self._operand, node.input))
        elif write is not None:
            text = write(node.input, attributes)
        else:
            raise UserError(f"cannot be exported: no torch translation of {node.op_type} in {node.name}")
        if node.op_type == "Shape" or (node.op_type in _KEEP_SIZES and self._sizes & set(node.input)):
            self._sizes.update(node.output)
        return f"{', '.join(self._name(value) for value in node.output)} = {text}"

    def _list(self, value: str) -> list[int]:
        return self.constants[value].ravel().tolist()

    def _padded(self, x: str, attributes: Mapping[str, Any], value: str) -> tuple[str, list[int]]:
        """The data, padded where its two ends differ, and the padding that is left for the layer."""
        top, left, bottom, right = attributes["pads"]
        if (top, left) == (bottom, right):
            return x, [top, left]
        return f"F.pad({x}, ({left}, {right}, {top}, {bottom}), value={value})", [0, 0]

    def _conv(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        x, *weights = map(self._operand, inputs)
        x, padding = self._padded(x, attributes, "0.0")
        bias = weights[1] if len(weights) > 1 else None
        rest = f"{attributes['strides']}, {padding}, {attributes['dilations']}, {attributes['group']}"
        return f"F.conv2d({x}, {weights[0]}, {bias}, {rest})"

    def _batchnormalization(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        x, gamma, beta, mean, variance = map(self._operand, inputs)
        return f"F.batch_norm({x}, {mean}, {variance}, {gamma}, {beta}, eps={attributes['epsilon']!r})"

    def _instancenormalization(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        x, gamma, beta = map(self._operand, inputs)
        return f"F.instance_norm({x}, weight={gamma}, bias={beta}, eps={attributes['epsilon']!r})"

    def _maxpool(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        x, padding = self._padded(self._operand(inputs[0]), attributes, '-float("inf")')
        return f"F.max_pool2d({x}, {attributes['kernel_shape']}, {attributes['strides']}, {padding})"

    def _averagepool(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        top, left, bottom, right = attributes["pads"]
        if (top, left) != (bottom, right):
            raise UserError("cannot be exported: torch has no average over windows padded at one end alone")
        counted = bool(attributes["count_include_pad"])
        options = f"{attributes['strides']}, {[top, left]}, count_include_pad={counted}"
        return f"F.avg_pool2d({self._operand(inputs[0])}, {attributes['kernel_shape']}, {options})"

    def _gemm(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"F.linear({', '.join(map(self._operand, inputs))})"

    def _leakyrelu(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"F.leaky_relu({self._operand(inputs[0])}, {attributes['alpha']!r})"

    def _elu(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"F.elu({self._operand(inputs[0])}, {attributes['alpha']!r})"

    def _resize(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        scale = float(self.constants[inputs[2]][-1])
        return f"F.interpolate({self._operand(inputs[0])}, scale_factor={scale!r}, mode='nearest')"

    def _softmax(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"torch.softmax({self._operand(inputs[0])}, {attributes['axis']})"

    def _clip(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"torch.clamp({', '.join(map(self._operand, inputs))})"

    def _max(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return self._extreme(inputs, "maximum", "min")

    def _min(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return self._extreme(inputs, "minimum", "max")

    def _extreme(self, inputs: Sequence[str], function: str, bound: str) -> str:
        x, y = map(self._operand, inputs)
        if inputs[1] in self.constants and self.constants[inputs[1]].ndim == 0:
            return f"torch.clamp({x}, {bound}={y})"
        return f"torch.{function}({x}, {y})"

    def _cast(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"{self._operand(inputs[0])}.to({_TYPES[attributes['to']]})"

    def _transpose(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"{self._operand(inputs[0])}.permute({attributes['perm']})"

    def _flatten(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"{self._operand(inputs[0])}.flatten(1)"

    def _reshape(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        x = self._operand(inputs[0])
        sizes = enumerate(self._list(inputs[1]))
        kept = [f"{x}.shape[{axis}]" if size == 0 else str(size) for axis, size in sizes]
        return f"{x}.reshape([{', '.join(kept)}])"

    def _unsqueeze(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"{self._operand(inputs[0])}.unsqueeze({self._list(inputs[1])[0]})"

    def _squeeze(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"{self._operand(inputs[0])}.squeeze({self._list(inputs[1])[0]})"

    def _split(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"{self._operand(inputs[0])}.split({self._list(inputs[1])}, {attributes['axis']})"

    def _slice(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        begins, ends, *axes = map(self._list, inputs[1:])
        if inputs[0] in self._sizes:
            return f"{self._operand(inputs[0])}[{begins[0]}:{ends[0]}]"
        parts = [":"] * (max(axes[0]) + 1)
        for axis, begin, end in zip(axes[0], begins, ends):
            parts[axis] = f"{begin}:{'' if end == _END else end}"
        return f"{self._operand(inputs[0])}[{', '.join(parts)}]"

    def _concat(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        parts = list(map(self._operand, inputs))
        if self._sizes & set(inputs):
            return " + ".join(parts)
        return f"torch.cat([{', '.join(parts)}], {attributes['axis']})"

    def _reducesum(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        keep = bool(attributes.get("keepdims", 1))
        return f"{self._operand(inputs[0])}.sum({self._list(inputs[1])}, keepdim={keep})"

    def _reducemax(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        keep = bool(attributes["keepdims"])
        return f"{self._operand(inputs[0])}.amax({attributes['axes']}, keepdim={keep})"

    def _reducemean(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        keep = bool(attributes["keepdims"])
        return f"{self._operand(inputs[0])}.mean({attributes['axes']}, keepdim={keep})"

    def _argmax(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        keep = bool(attributes["keepdims"])
        return f"{self._operand(inputs[0])}.argmax({attributes['axis']}, keepdim={keep})"

    def _cumsum(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"{self._operand(inputs[0])}.cumsum({self._list(inputs[1])[0]})"

    def _topk(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        options = f"{self._list(inputs[1])[0]}, {attributes['axis']}, largest={bool(attributes['largest'])}"
        return f"{self._operand(inputs[0])}.topk({options})"

    def _onehot(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"F.one_hot({self._operand(inputs[0])}, {self._list(inputs[1])[0]}).to(torch.float32)"

    def _shape(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"list({self._operand(inputs[0])}.shape)"

    def _gather(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        places = self.constants[inputs[1]]
        if inputs[0] in self._sizes:
            first = int(places.ravel()[0])
            return f"{self._operand(inputs[0])}[{first}{f':{first + 1}' if places.ndim else ''}]"
        return f"{self._operand(inputs[0])}[{':, ' * attributes['axis']}{places.tolist()}]"

    def _range(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        return f"torch.arange({self._operand(inputs[1])}, device=images.device)"

    def _nonmaxsuppression(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        overlap, threshold = (float(self.constants[value].ravel()[0]) for value in inputs[3:])
        boxes, scores = map(self._operand, inputs[:2])
        return f"suppress({boxes}, {scores}, {overlap!r}, {threshold!r})"
