"""The size and the cost of a network, computed from its graph without running it."""

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
    """The size and the cost of a network at batch 1.

    ``parameters`` counts the numbers that training can change: weights, biases, and gamma and beta of norms,
    but not running statistics nor the constants of frozen norms. ``trained`` counts those of them that are
    trained by default. ``multiply_adds`` are those of convolutions, deconvolutions and dense layers; norms,
    activations, pooling and sums are not counted. ``maps`` are (channels, height, width) of the feature maps,
    from fine to coarse. ``outputs`` are the shapes of what the network returns, and ``output_names`` their
    names, which only a detector has.
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
        """Returns billions of operations of one forward pass; a multiplication and an addition are two."""
        return 2 * self.multiply_adds / 1e9

    @property
    def millions(self) -> str:
        """Returns the number of parameters as text for a table."""
        return f"{self.parameters / 1e6:.1f} M"

    @property
    def anchors(self) -> int | None:
        """Returns the number of boxes that a detector predicts, or None for a classifier."""
        return self.outputs[0][1] if self.output_names else None


def profile_model(name: str, classes: Sequence[str] | None = None) -> Profile:
    """Returns the profile of a model of the zoo at its own input size.

    ``classes`` are the class names; None stands for the model's own. Raises UserError for an unknown name.
    """
    return profile_network(model_outline(name, classes))


def profile_network(net: Any, input_size: tuple[int, int] | None = None) -> Profile:
    """Returns the profile of ``net``, an NCHW network of the zoo, whose parameters need no values.

    ``input_size`` is (height, width) in pixels; None stands for the network's own.
    """
    height, width = input_size or net.input_size
    shape = (1, 3, height, width)
    data = mx.sym.var("data")
    outputs = net(data)
    graph = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    # The auxiliary states of a graph are the running statistics of its norms.
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
    """Returns the number of multiply-adds in the layers of ``graph``, an NCHW symbol, that have weights.

    ``shapes`` are those of its inputs. A convolution costs as many per output pixel as it has weights, a
    deconvolution per input pixel, and a dense layer per row. The weights are those of the parameter: channels
    that only pad a layer to whole vectors are not counted.
    """
    described = json.loads(graph.tojson())
    nodes = described["nodes"]
    for index, node in enumerate(nodes):
        # A layer that is used twice is two nodes of one name, and shapes are listed by name.
        if node["op"] != "null":
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
        while nodes[weight]["op"] != "null":  # back from a cast or padded weight to its parameter
            weight = nodes[weight]["inputs"][0][0]
        batch, _, *pixels = shape_of(data if node["op"] == "Deconvolution" else index)
        total += batch * math.prod(pixels) * math.prod(shape_of(weight))
    return total


def _shapes(symbol: Any, **inputs: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [tuple(shape) for shape in symbol.infer_shape(**inputs)[1]]


def _frozen_norms(net: Block) -> set[str]:
    names: set[str] = set()

    def visit(block: Block) -> None:
        # All four arrays, since gamma and beta are no auxiliary states although they are constant here.
        if isinstance(block, FrozenBatchNorm):
            names.update(block.collect_params())

    net.apply(visit)
    return names
