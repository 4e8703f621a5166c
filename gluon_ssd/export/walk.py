"""From an MXNet symbol to ONNX nodes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import mxnet as mx
import numpy as np

from ..errors import UserError
from . import arrays, layers, selection  # noqa: F401 - they register their operators
from .graph import Graph
from .operators import TRANSLATIONS, Call


def add_symbol(
    graph: Graph,
    symbol: Any,
    inputs: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    parameters: Mapping[str, np.ndarray],
) -> list[str]:
    """Adds what ``symbol`` computes to ``graph`` and returns the names of its outputs.

    ``inputs``: the values in the graph that its free variables stand for; ``shapes``: theirs, for a batch of
    one. ``parameters``: the arrays of all other variables. Raises UserError, naming them, for operators that
    have no translation.
    """
    described = json.loads(symbol.tojson())
    nodes = described["nodes"]
    _check_operators(nodes)
    known = _shapes(described, shapes)
    values: list[list[str]] = []
    for index, node in enumerate(nodes):
        if node["op"] == "null":
            values.append([_variable(graph, node["name"], inputs, parameters)])
            continue
        sources = [(place, output) for place, output, *_ in node["inputs"]]
        call = Call(
            graph=graph,
            op=node["op"],
            name=node["name"],
            inputs=[values[place][output] for place, output in sources],
            shapes=[known[place][output] for place, output in sources],
            output_shape=known[index][0],
            attributes=node.get("attrs", {}),
        )
        result = TRANSLATIONS[node["op"]](call)
        values.append([result] if isinstance(result, str) else list(result))
    return [values[place][output] for place, output, *_ in described["heads"]]


def _check_operators(nodes: list[Any]) -> None:
    unknown = sorted({node["op"] for node in nodes if node["op"] != "null"} - TRANSLATIONS.keys())
    if unknown:
        names = {op: next(node["name"] for node in nodes if node["op"] == op) for op in unknown}
        listed = ", ".join(f"{op} (first in {name})" for op, name in names.items())
        raise UserError(f"cannot be exported: no ONNX translation of the operator {listed}")


def _variable(
    graph: Graph, name: str, inputs: Mapping[str, str], parameters: Mapping[str, np.ndarray]
) -> str:
    if name in inputs:
        return inputs[name]
    return graph.constant(parameters[name].astype(np.float32), name)


def _shapes(
    described: dict[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> list[list[tuple[int, ...]]]:
    """Shapes of all outputs of every node. Layers that are used twice are two nodes of one name."""
    renamed = [
        node if node["op"] == "null" else {**node, "name": f"node{index}"}
        for index, node in enumerate(described["nodes"])
    ]
    inner = mx.sym.load_json(json.dumps({**described, "nodes": renamed})).get_internals()
    found: dict[str, list[tuple[int, ...]]] = {}
    for name, shape in zip(inner.list_outputs(), inner.infer_shape(**shapes)[1]):
        # "node7_output", or of several "node7_output0" and "node7_mean".
        key = name.split("_")[0] if name.startswith("node") else name
        found.setdefault(key, []).append(tuple(shape))
    return [found[node["name"]] for node in renamed]
