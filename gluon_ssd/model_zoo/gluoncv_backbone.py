"""Backbones from the classification networks of GluonCV."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from ..errors import UserError, import_problem, unknown
from ..nn import current
from .base import Backbone

PREFIX = "gluoncv:"


class GluonCVBackbone(Backbone):
    """The layers of a classification network up to the coarsest map that is wanted.

    ``layers`` are called one after the other, and for each of ``strides`` the last map of that stride is an
    output. ``feature_info`` is (channels, stride) of the outputs, and ``map_sizes`` are their sides in pixels
    for a square input of ``image_size`` pixels. ``sources`` holds the parameter of every path in a file of
    the whole network, or None where the path is not part of the backbone. Raises UserError where there is no
    map of a stride.
    """

    def __init__(
        self, name: str, layers: Sequence[HybridBlock], strides: Sequence[int], image_size: int
    ) -> None:
        super().__init__(prefix="")
        self.feature_info: list[tuple[int, int]] = []
        self.map_sizes: list[int] = []
        ends = self._ends(layers, strides, image_size)
        if len(ends) < len(strides):
            raise UserError(f"{PREFIX}{name}: its layers do not give maps of the strides {list(strides)}")
        self.parts = nn.HybridSequential(prefix="")
        for start, end in zip([0, *ends], ends):
            part = nn.HybridSequential(prefix="")
            part.add(*layers[start:end])
            self.parts.add(part)
        # GluonCV's layers do not know their input channels. This finds them, so that nothing is initialised
        # late.
        self.infer_shape(mx.nd.zeros((1, 3, image_size, image_size)))
        self.sources: dict[str, Any] = {}

    def keep_sources(self, whole: HybridBlock) -> None:
        """Remembers the paths of the parameters in ``whole``, the network to which the layers belong."""
        own = set(self.collect_params())
        paths = whole._collect_params_with_prefix().items()
        self.sources = {path: p if p.name in own else None for path, p in paths}

    def _ends(self, layers: Sequence[HybridBlock], strides: Sequence[int], image_size: int) -> list[int]:
        """Returns how many layers there are up to each output, and sets the properties of the outputs."""
        found: dict[int, tuple[int, int, int]] = {}
        x = mx.sym.var("data")
        for count, layer in enumerate(layers, 1):
            x = layer(x)
            shape = x.infer_shape_partial(data=(1, 3, image_size, image_size))[1][0]
            # The feature maps end at the global pooling.
            if len(shape) != 4 or shape[2] < 2:
                break
            for stride in strides:
                # Networks differ in whether a halving rounds up or down.
                if image_size // stride <= shape[2] <= -(-image_size // stride):
                    found[stride] = (count, shape[1], shape[2])
        for stride in sorted(found):
            self.feature_info.append((found[stride][1], stride))
            self.map_sizes.append(found[stride][2])
        return [found[stride][0] for stride in sorted(found)]

    def hybrid_forward(self, F: Any, x: Any) -> list[Any]:
        outputs = []
        for part in self.parts:
            x = part(x)
            outputs.append(x)
        return outputs


def import_gluoncv() -> Any:
    """Returns the package gluoncv. Raises UserError when it cannot be imported."""
    # GluonCV looks for PyTorch and refuses to be imported beside version 2, although its MXNet networks do
    # not need it. None in `sys.modules` makes Python say that there is no such package.
    absent = object()
    torch = sys.modules.get("torch", absent)
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        import gluoncv

        return gluoncv
    except (ImportError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise (import_problem(error) or UserError(f"gluoncv cannot be imported here: {reason}")) from None
    finally:
        del sys.modules["torch"]
        if torch is not absent:
            sys.modules["torch"] = torch  # type: ignore[assignment]


def build_gluoncv_backbone(
    name: str, strides: Sequence[int], image_size: int, prefix: str
) -> GluonCVBackbone:
    """Builds a backbone with random weights from GluonCV's network ``name``, given without ``gluoncv:``.

    The parameter names start with ``prefix`` and do not depend on what was built before. Raises UserError
    when GluonCV is not installed or has no such network, when the layers of the network are not a plain
    sequence, and for another layout than NCHW or another dtype than float32.
    """
    if (current().layout, current().dtype) != ("NCHW", "float32"):
        raise UserError(f"{PREFIX}{name}: GluonCV's networks take layout NCHW and dtype float32 only")
    model_zoo = import_gluoncv().model_zoo
    known = model_zoo.get_model_list()
    if name not in known:
        raise unknown("GluonCV network", name, known)
    try:
        whole = _random_network(model_zoo, name, prefix)
        backbone = GluonCVBackbone(name, _layers(whole), strides, image_size)
    except (TypeError, mx.MXNetError):
        raise UserError(f"{PREFIX}{name}: not a classification network of plain layers") from None
    backbone.keep_sources(whole)
    return backbone


def _random_network(model_zoo: Any, name: str, prefix: str) -> Any:
    """Returns GluonCV's network ``name`` without any weights being downloaded."""
    # Its detectors download a backbone unless `pretrained_base` is false, and its classifiers do not have
    # that option.
    for options in ({"pretrained_base": False}, {}):
        # Within it names are counted anew, whatever the process has built before.
        with mx.name.Prefix(prefix):
            try:
                return model_zoo.get_model(name, pretrained=False, **options)
            except TypeError:
                if not options:
                    raise


def _layers(net: Any) -> list[HybridBlock]:
    """Returns the layers of the network in the order in which it calls them."""
    features = getattr(net, "features", None)
    if isinstance(features, nn.HybridSequential):
        return list(features)
    # Networks without `features`, such as ResNet v1b, register their layers in the order of their calls.
    return [child for child in net._children.values() if isinstance(child, HybridBlock)]
