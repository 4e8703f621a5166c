"""What a network is made of and costs, computed from its graph without running it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mxnet as mx
from mxnet.gluon import Block

from ..nn import FrozenBatchNorm
from .registry import model_outline


@dataclass(frozen=True)
class Profile:
    """Size and cost of a network at batch 1.

    ``parameters``: numbers that training can change, so weights, biases, and gamma and beta of norms; not
    their running statistics, nor the constants of frozen norms. ``trained``: those of them that are trained
    unless one asks for others. ``multiply_adds``: of convolutions, deconvolutions and dense layers; norms,
    activations, pooling and sums are not counted. ``maps``: (channels, height, width) of the feature maps,
    fine to coarse. ``outputs``: shapes of what the network returns; ``output_names``: what a detector calls
    them.
    """

    input_size: tuple[int, int]
    parameters: int
    trained: int
    multiply_adds: int
    maps: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    output_names: tuple[str, ...] = ()

    @property
    def gflops(self) -> float:
        """Billions of operations of one forward pass; a multiplication and an addition are two."""
        return 2 * self.multiply_adds / 1e9

    @property
    def millions(self) -> str:
        """The parameters as text for a table."""
        return f"{self.parameters / 1e6:.1f} M"

    @property
    def anchors(self) -> int | None:
        """Boxes that a detector predicts, None for a classifier."""
        return self.outputs[0][1] if self.output_names else None


def profile_model(name: str, classes: Sequence[str] | None = None) -> Profile:
    """The profile of a model of the zoo at its own input size; ``classes`` None: its own.

    Raises UserError for an unknown name.
    """
    return profile_network(model_outline(name, classes))


def profile_network(net: Any, input_size: tuple[int, int] | None = None) -> Profile:
    """The profile of ``net``, an NCHW network of the zoo, whether its parameters have values or not.

    ``input_size``: (height, width), None is the network's own.
    """
    height, width = input_size or net.input_size
    shape = (1, 3, height, width)
    data = mx.sym.var("data")
    outputs = net(data)
    graph = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    constants = set(graph.list_auxiliary_states()) | _frozen_norms(net)
    sizes = {
        name: (math.prod(parameter.shape), parameter.grad_req)
        for name, parameter in net.collect_params().items()
        if name not in constants
    }
    return Profile(
        input_size=(height, width),
        parameters=sum(size for size, _ in sizes.values()),
        trained=sum(size for size, grad_req in sizes.values() if grad_req != "null"),
        multiply_adds=count_multiply_adds(graph, data=shape),
        maps=tuple(found[1:] for found in _shapes(mx.sym.Group(net.features(data)), data=shape)),
        outputs=tuple(_shapes(graph, data=shape)),
        output_names=getattr(net, "output_names", ()),
    )


def count_multiply_adds(graph: Any, **shapes: tuple[int, ...]) -> int:
    """Multiplications with an addition in the layers with weights of ``graph``, an NCHW symbol.

    ``shapes``: of its inputs. A convolution costs as many per output pixel as it has weights, a
    deconvolution per input pixel, a dense layer per row. A layer counts with the weights it has: channels
    that only pad it to whole vectors are not counted.
    """
    described = json.loads(graph.tojson())
    nodes = described["nodes"]
    for index, node in enumerate(nodes):
        if node["op"] != "null":  # a layer that is used twice is two nodes of one name
            node["name"] = f"node{index}"
    inner = mx.sym.load_json(json.dumps(described)).get_internals()
    found = dict(zip(inner.list_outputs(), _shapes(inner, **shapes)))

    def shape_of(index: int) -> tuple[int, ...]:
        name = nodes[index]["name"]
        return found[name if nodes[index]["op"] == "null" else f"{name}_output"]

    total = 0
    for index, node in enumerate(nodes):
        if node["op"] not in ("Convolution", "Deconvolution", "FullyConnected"):
            continue
        data, weight = (source[0] for source in node["inputs"][:2])
        while nodes[weight]["op"] != "null":  # a cast or padded one
            weight = nodes[weight]["inputs"][0][0]
        batch, _, *pixels = shape_of(data if node["op"] == "Deconvolution" else index)
        total += batch * math.prod(pixels) * math.prod(shape_of(weight))
    return total


def _shapes(symbol: Any, **inputs: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [tuple(shape) for shape in symbol.infer_shape(**inputs)[1]]


def _frozen_norms(net: Block) -> set[str]:
    names: set[str] = set()

    def visit(block: Block) -> None:
        if isinstance(block, FrozenBatchNorm):
            names.update(block.collect_params())

    net.apply(visit)
    return names
