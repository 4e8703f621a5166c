"""Networks and their post-processing as ONNX models, in memory."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np
import onnx
from onnx import TensorProto, helper

from ..errors import UserError
from ..runtimes.header import Header
from .graph import Graph
from .norms import fold_norms
from .operators import ints, number
from .sources import INPUT, parameter_arrays
from .walk import add_symbol

# What the outputs of a model with detections are called, in this order.
DETECTIONS = ("boxes", "scores", "class_ids", "count")


def build_model(net: Any, header: Header) -> onnx.ModelProto:
    """The ONNX model of a float32 NCHW detector, with what ``header`` asks for.

    Norms are folded into convolutions. Raises UserError for an operator that has no translation.
    """
    try:
        return _build(net, header)
    except UserError as error:
        raise UserError(f"{net.model_name}: {error}") from None


def _build(net: Any, header: Header) -> onnx.ModelProto:
    graph = Graph(header.batch)
    for name in (INPUT, *(DETECTIONS if header.detections else net.output_names)):
        graph.unique(name)
    height, width = header.preprocess.size
    images = _normalised(graph, header) if header.pixels else INPUT
    symbol = mx.sym.Group(list(net(mx.sym.var(INPUT))))
    shapes = {INPUT: (1, 3, height, width)}
    outputs = add_symbol(graph, symbol, {INPUT: images}, shapes, parameter_arrays(net))
    fold_norms(graph)
    found = [tuple(shape[1:]) for shape in symbol.infer_shape(**shapes)[1]]
    if header.detections:
        described = _add_detections(graph, net, header, outputs, found)
    else:
        described = _add_raw(graph, net, outputs, found)
    taken = (INPUT, TensorProto.FLOAT, (3, height, width))
    if header.pixels:
        taken = (INPUT, TensorProto.UINT8, (height, width, 3))
    model = graph.model(*([_described(row, header.batch) for row in rows] for rows in ([taken], described)))
    set_header(model, header)
    return model


def set_header(model: onnx.ModelProto, header: Header) -> None:
    """Writes ``header`` into the metadata of ``model``, in the place of another."""
    helper.set_model_props(model, header.to_text())


def _described(row: tuple[str, int, tuple[int, ...]], batch: int | None) -> onnx.ValueInfoProto:
    name, kind, tail = row
    return helper.make_tensor_value_info(name, kind, [batch or "N", *tail])


def _add_raw(graph: Graph, net: Any, outputs: list[str], shapes: list[tuple[int, ...]]) -> list[Any]:
    for value, name in zip(outputs, net.output_names):
        graph.named(value, name)
    return [(name, TensorProto.FLOAT, shape) for name, shape in zip(net.output_names, shapes)]


def _normalised(graph: Graph, header: Header) -> str:
    """uint8 NHWC pixels as the float32 NCHW input of the network."""
    mean = np.array(header.preprocess.mean, dtype=np.float64)
    std = np.array(header.preprocess.std, dtype=np.float64)
    numbers = graph.node("Cast", INPUT, hint="pixels", to=TensorProto.FLOAT)
    scaled = graph.node("Mul", numbers, (1 / (255 * std)).astype(np.float32), hint="pixels")
    shifted = graph.node("Sub", scaled, (mean / std).astype(np.float32), hint="pixels")
    return graph.node("Transpose", shifted, hint="pixels", perm=[0, 3, 1, 2])


def _add_detections(
    graph: Graph, net: Any, header: Header, outputs: list[str], shapes: list[tuple[int, ...]]
) -> list[Any]:
    size = header.preprocess.size
    block = net.postprocess(size, **header.detections)
    block.initialize(ctx=mx.cpu())
    symbol = mx.sym.Group(list(block(*[mx.sym.var(name) for name in net.output_names])))
    inputs = dict(zip(net.output_names, outputs))
    known = {name: (1, *shape) for name, shape in zip(net.output_names, shapes)}
    class_ids, scores, boxes = add_symbol(graph, symbol, inputs, known, parameter_arrays(block))
    whole = graph.node("Cast", class_ids, hint="class_ids", to=TensorProto.INT64)
    real = graph.node("GreaterOrEqual", whole, np.array(0, np.int64), hint="is_object")
    count = graph.node("ReduceSum", graph.node("Cast", real, to=TensorProto.INT64), ints(1), keepdims=0)
    inside = graph.node("Clip", boxes, number(0), number(1), hint="inside")
    scale = np.array([size[1], size[0], size[1], size[0]], dtype=np.float32)
    pixels = graph.node("Mul", inside, scale, hint="pixels")
    most = symbol.infer_shape(**known)[1][1][1]
    rows = [
        (pixels, TensorProto.FLOAT, (most, 4)),
        (scores, TensorProto.FLOAT, (most,)),
        (whole, TensorProto.INT64, (most,)),
        (count, TensorProto.INT64, ()),
    ]
    for name, (value, _, _) in zip(DETECTIONS, rows):
        graph.named(value, name)
    return [(name, kind, shape) for name, (_, kind, shape) in zip(DETECTIONS, rows)]
