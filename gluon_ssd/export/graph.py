"""An ONNX graph while it is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Union

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

# Old enough for the runtimes of 2022, and what its operators mean will not change any more.
OPSET, IR_VERSION = 17, 8
Operand = Union[str, np.ndarray]


class Graph:
    """Nodes in the order in which they compute, and constants.

    A value is known by its name, a string; an array in the place of one becomes a constant. What depends on
    constants alone is computed at once, so that no node is left of it. ``batch``: images that go through
    together, None for any number.
    """

    def __init__(self, batch: int | None = None) -> None:
        self.batch = batch
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self._counts: Counter[str] = Counter()
        self._small: dict[tuple[Any, ...], str] = {}

    def unique(self, hint: str) -> str:
        """A name that no value and no node has: the layers that share weights share their names, too."""
        self._counts[hint] += 1
        count = self._counts[hint]
        return hint if count == 1 else f"{hint}_{count}"

    def constant(self, value: np.ndarray, hint: str = "constant") -> str:
        """The name of a constant of this value; small ones that are equal are one."""
        value = np.asarray(value)
        key = (value.dtype.str, value.shape, value.tobytes()) if value.size <= 8 else ()
        if key and key in self._small:
            return self._small[key]
        name = self.unique(hint)
        self.constants[name] = value
        if key:
            self._small[key] = name
        return name

    def node(self, op: str, *inputs: Operand, hint: str = "", outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node and returns the name of its output, or the names of several."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        results = [self.unique(hint or op.lower()) for _ in range(outputs)]
        node = helper.make_node(op, names, results, name=results[0], **attributes)
        if all(name in self.constants for name in names):
            results = self._computed(node, names)
        else:
            self.nodes.append(node)
        return results[0] if outputs == 1 else results

    def _computed(self, node: onnx.NodeProto, names: Sequence[str]) -> list[str]:
        evaluator = ReferenceEvaluator(node, opsets={"": OPSET})
        values = evaluator.run(None, {name: self.constants[name] for name in names})
        return [self.constant(value, name) for name, value in zip(node.output, values)]

    def named(self, value: str, name: str) -> None:
        """Gives ``value`` a name that the outside knows it by."""
        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"to_{name}"))

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The whole as a model. Constants that no node reads any more are left out."""
        read = {name for node in self.nodes for name in node.input}
        initializers = [
            numpy_helper.from_array(np.asarray(value, order="C"), name)
            for name, value in self.constants.items()
            if name in read
        ]
        graph = helper.make_graph(self.nodes, "gluon_ssd", inputs, outputs, initializers)
        imports = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="gluon_ssd"
        )
