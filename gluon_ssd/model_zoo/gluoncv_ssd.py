"""GluonCV's own SSDs in the contract of a family."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import mxnet as mx
import numpy as np

from ..boxes import xywh_to_ltrb
from ..data.preprocess import Preprocess
from ..errors import UserError
from ..losses import MultiBoxLoss
from ..nn import current
from ..postprocess import SSDPostprocess
from ..targets import SSDTargetEncoder
from .base import DetectionNetwork, HeadRows
from .gluoncv_backbone import import_gluoncv
from .gluoncv_ssd_models import PREFIX


class GluonCVSSD(DetectionNetwork):
    """GluonCV's SSD ``network``: its layers, its anchors and the names of its parameters.

    Outputs are those of the contract in every mode, where GluonCV's network gives detections or raw outputs.
    """

    fixed_size = True

    def __init__(
        self, name: str, network: str, classes: Sequence[str], input_size: tuple[int, int]
    ) -> None:
        super().__init__(name, classes, Preprocess(size=input_size), prefix="")
        if (current().layout, current().dtype) != ("NCHW", "float32"):
            raise UserError(f"{PREFIX}{network}: GluonCV's networks take layout NCHW and dtype float32 only")
        whole = _build(network, classes)
        # By GluonCV's names for them, so that its files have the paths of this network.
        for part in ("features", "class_predictors", "box_predictors"):
            self.register_child(getattr(whole, part), part)
        self._body = [whole.features]
        whole.features.parts = [whole.features]
        with warnings.catch_warnings():
            # Types that MXNet cannot tell from a graph without values.
            warnings.simplefilter("ignore")
            self.infer_shape(mx.nd.zeros((1, 3, *input_size)))
        graph = mx.sym.Group(self.features(mx.sym.var("data")))
        maps = [shape[1:] for shape in graph.infer_shape(data=(1, 3, *input_size))[1]]
        whole.features.feature_info = [(channels, input_size[0] // side) for channels, side, _ in maps]
        self._xywh = _anchors(whole.anchor_generators, [shape[1:] for shape in maps], input_size[0])
        self.per_cell = [generator.num_depth for generator in whole.anchor_generators]

    @property
    def backbone(self) -> Any:  # type: ignore[override]
        """All layers that make feature maps, GluonCV's extra ones included."""
        return self._body[0]

    def features(self, x: Any) -> list[Any]:
        return list(self.backbone(x))

    def anchors(self, height: int, width: int) -> np.ndarray:
        sides = np.array([width, height, width, height], dtype=np.float32)
        found: np.ndarray = xywh_to_ltrb(self._xywh) * sides
        return found

    def target_encoder(self, input_size: tuple[int, int] | None = None) -> SSDTargetEncoder:
        return SSDTargetEncoder(self._xywh)

    def loss(self) -> MultiBoxLoss:
        return MultiBoxLoss()

    def postprocess(self, input_size: tuple[int, int] | None = None, **settings: Any) -> SSDPostprocess:
        """The block from outputs to detections; ``settings`` are `SSDPostprocess`'s."""
        return SSDPostprocess(self._xywh, len(self.classes), **settings)

    def head_rows(self, classes: Sequence[str]) -> HeadRows:
        shared = [(0, 0), *((ours + 1, theirs + 1) for ours, theirs in self.shared_classes(classes))]
        ours_in, theirs_in = np.array(shared).T
        ours_n, theirs_n = len(self.classes) + 1, len(classes) + 1
        table = {}
        for layer, boxes in zip(self._children["class_predictors"], self.per_cell):
            box = np.arange(boxes)[:, None]
            ours, theirs = (box * ours_n + ours_in).ravel(), (box * theirs_n + theirs_in).ravel()
            for parameter in layer.collect_params().values():
                table[parameter.name] = (ours, theirs, boxes * theirs_n)
        return table

    def hybrid_forward(self, F: Any, x: Any) -> tuple[Any, Any]:
        maps = self.features(x)
        outputs = []
        for part, channels in (("class_predictors", len(self.classes) + 1), ("box_predictors", 4)):
            found = [F.transpose(layer(m), (0, 2, 3, 1)) for layer, m in zip(self._children[part], maps)]
            outputs.append(F.concat(*[F.reshape(x, (0, -1, channels)) for x in found], dim=1))
        return outputs[0], outputs[1]


def _build(network: str, classes: Sequence[str]) -> Any:
    """GluonCV's network for ``classes``, without weights from anywhere, under names that never change."""
    zoo = import_gluoncv().model_zoo
    options: dict[str, Any] = {"pretrained_base": False}
    if network.endswith("_custom"):
        options["classes"] = list(classes)
    else:
        options["pretrained"] = False
    with mx.name.Prefix("gluoncv_"):
        net = zoo.get_model(network, **options)
        if not network.endswith("_custom"):
            # Whatever the classes: the layers that this makes have other names than those before.
            net.initialize()
            net.reset_class(list(classes))
    return net


def _anchors(generators: Sequence[Any], sides: Sequence[tuple[int, ...]], size: int) -> np.ndarray:
    """(A, 4) float32 xywh in fractions: what each generator keeps for the largest map, cut to its own."""
    parts = []
    for generator, (height, width) in zip(generators, sides):
        kept = generator.anchors.value
        kept = kept.asnumpy() if hasattr(kept, "asnumpy") else np.asarray(kept)
        parts.append(kept[0, 0, :height, :width].reshape(-1, 4))
    return (np.concatenate(parts) / size).astype(np.float32)
