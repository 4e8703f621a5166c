"""Batch norms into the convolutions before them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx

from .graph import Graph


def fold_norms(graph: Graph) -> None:
    """Puts every norm that follows a convolution of weights of its own into these weights."""
    uses = Counter(name for node in graph.nodes for name in node.input)
    made = {name: node for node in graph.nodes for name in node.output}
    kept: list[onnx.NodeProto] = []
    for node in graph.nodes:
        conv = made.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if conv is None or conv.op_type != "Conv" or uses[conv.output[0]] > 1 or uses[conv.input[1]] > 1:
            kept.append(node)
            continue
        _fold(graph, conv, node)
        made[conv.output[0]] = conv
    graph.nodes[:] = kept


def _fold(graph: Graph, conv: onnx.NodeProto, norm: onnx.NodeProto) -> None:
    gamma, beta, mean, variance = (graph.constants[name].astype(np.float64) for name in norm.input[1:])
    epsilon = next(item.f for item in norm.attribute if item.name == "epsilon")
    scale = gamma / np.sqrt(variance + epsilon)
    weight = graph.constants[conv.input[1]]
    bias = graph.constants[conv.input[2]] if len(conv.input) > 2 else 0.0
    graph.constants[conv.input[1]] = (weight * scale.reshape(-1, 1, 1, 1)).astype(np.float32)
    shift = graph.constant(((bias - mean) * scale + beta).astype(np.float32), f"{conv.name}_bias")
    conv.input[:] = [*conv.input[:2], shift]
    conv.output[0] = norm.output[0]
