"""The RetinaNet network: a backbone, a feature pyramid, and two heads that all levels share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Callable

import numpy as np
from mxnet.gluon import HybridBlock

from ..anchors import RetinaAnchors
from ..data.coco_names import COCO_CLASSES, COCO_IDS
from ..data.preprocess import Preprocess
from ..errors import UserError
from ..losses import RetinaLoss
from ..nn import FeaturePyramid, PyramidHead
from ..postprocess import RetinaPostprocess
from ..targets import RetinaTargetEncoder
from .base import DetectionNetwork, HeadRows
from .reference_names import Entry, affine_entries, conv_entries, under
from .specs import MLPERF_STYLE, TORCHVISION_STYLE, ReferenceStyle

PRIOR_PROBABILITY = 0.01


class RetinaNet(DetectionNetwork):
    """A one-stage detector with focal loss.

    It turns (B, 3, H, W) normalised images of any size into ``cls_preds`` (B, A, C), one raw logit per class
    without a background, and ``box_preds`` (B, A, 4), box deltas, both float32. A runs over the levels P3 to
    P7, then row, column and anchor.

    ``class_names`` are those without background. ``trainable_layers`` says how many parts of the backbone are
    trained, counted from the last stage; the stem is the fifth. ``channels`` is the width of the pyramid.
    ``reference`` says how the network with which it exchanges weights names its layers. With ``improved`` it
    is torchvision's second version: group norms in the heads, P6 from the backbone, and boxes that learn by
    generalised IoU. Raises ValueError where the parts do not fit together, and UserError for
    ``trainable_layers`` out of range. Source: Lin et al., "Focal Loss for Dense Object Detection" (2017).
    """

    def __init__(
        self,
        name: str,
        backbone: HybridBlock,
        anchor_generator: RetinaAnchors,
        class_names: Sequence[str],
        preprocess: Preprocess,
        *,
        trainable_layers: int = 3,
        channels: int = 256,
        reference: ReferenceStyle = TORCHVISION_STYLE,
        improved: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, class_names, preprocess, **kwargs)
        strides = [stride for _, stride in backbone.feature_info]
        if strides != [2 ** (anchor_generator.first_level + index) for index in range(3)]:
            raise ValueError(
                f"anchors start at P{anchor_generator.first_level}, but the backbone has strides {strides}"
            )
        self.anchor_generator, self._reference, self._improved = anchor_generator, reference, improved
        per_cell = anchor_generator.per_cell
        with self.name_scope():
            self.backbone = backbone
            widths = [width for width, _ in backbone.feature_info]
            self.pyramid = FeaturePyramid(widths, channels, p6_from_backbone=improved, prefix="pyramid0_")
            head = partial(PyramidHead, channels, per_cell, group_norm=improved)
            self.class_head = head(len(self.classes), PRIOR_PROBABILITY, prefix="classhead0_")
            self.box_head = head(4, prefix="boxhead0_")
        parts = len(backbone.parts)
        if not isinstance(trainable_layers, int) or not 0 <= trainable_layers <= parts:
            raise UserError(f"trainable_layers is {trainable_layers!r}; {name} takes 0 to {parts}")
        self.freeze(range(parts - trainable_layers))

    def _size(self, input_size: Sequence[int] | None) -> tuple[int, int]:
        height, width = self.input_size if input_size is None else input_size
        return int(height), int(width)

    def anchors(self, height: int, width: int) -> np.ndarray:
        return self.anchor_generator.ltrb(height, width)

    def target_encoder(self, input_size: tuple[int, int] | None = None) -> RetinaTargetEncoder:
        size = self._size(input_size)
        return RetinaTargetEncoder(self.anchors(*size), size)

    def loss(self) -> RetinaLoss:
        return RetinaLoss(giou=self._improved)

    def postprocess(self, input_size: tuple[int, int] | None = None, **settings: Any) -> RetinaPostprocess:
        """Returns the block from outputs to detections; ``settings`` are those of `RetinaPostprocess`."""
        size = self._size(input_size)
        counts = self.anchor_generator.level_counts(*size)
        return RetinaPostprocess(self.anchors(*size), counts, size, len(self.classes), **settings)

    def features(self, x: Any) -> list[Any]:
        """Returns the maps that the heads read, levels P3 to P7."""
        return self.pyramid(*self.backbone(x))

    def hybrid_forward(self, F: Any, x: Any) -> tuple[Any, Any]:
        levels = self.features(x)
        cls_preds = F.concat(*[self.class_head(level) for level in levels], dim=1)
        box_preds = F.concat(*[self.box_head(level) for level in levels], dim=1)
        return F.cast(cls_preds, dtype="float32"), F.cast(box_preds, dtype="float32")

    def head_rows(self, classes: Sequence[str]) -> HeadRows:
        # Only the output of the class head depends on the classes. Its rows are anchor by anchor, with one
        # row per class in each.
        shared = np.array(self.shared_classes(classes), dtype=np.int64).reshape(-1, 2)
        anchor = np.arange(self.anchor_generator.per_cell)[:, None]
        ours = (anchor * len(self.classes) + shared[:, 0]).ravel()
        theirs = (anchor * len(classes) + shared[:, 1]).ravel()
        rows = self.anchor_generator.per_cell * len(classes)
        output = self.class_head.output
        return {parameter.name: (ours, theirs, rows) for parameter in (output.weight, output.bias)}

    def reference_names(self) -> list[Entry]:
        return list(self._entries(self._reference))

    def reference_aliases(self) -> dict[str, str]:
        # Files of both styles fit, because the weights that torchvision has published have its old names. Its
        # second version is younger than these.
        if self._improved:
            return {}
        wanted = [source for entry in self.reference_names() for source in entry.sources]
        styles = [list(self._entries(style)) for style in (MLPERF_STYLE, TORCHVISION_STYLE)]
        names = [[source for entry in style for source in entry.sources] for style in styles]
        return {alias: name for style in names for alias, name in zip(style, wanted)}

    def mlperf_tensors(self) -> list[str]:
        # MLPerf lists the names of its reference, without the frozen norms.
        norms = ("gamma", "beta", "running_mean", "running_var")
        kept = [entry for entry in self._entries(MLPERF_STYLE) if not entry.name.endswith(norms)]
        return [f"module.{source}" for entry in kept for source in entry.sources]

    def _entries(self, style: ReferenceStyle) -> Iterator[Entry]:
        yield from under("backbone.body.", self.backbone.reference_names())
        for ours, theirs in ((self.pyramid.laterals, "inner"), (self.pyramid.outputs, "layer")):
            for index, conv in enumerate(ours):
                yield from conv_entries(conv, f"backbone.fpn.{theirs}_blocks.{index}{style.pyramid}")
        for name in ("p6", "p7"):
            yield from conv_entries(getattr(self.pyramid, name), f"backbone.fpn.extra_blocks.{name}")
        for head, kind, output in (
            (self.class_head, "classification", "cls_logits"),
            (self.box_head, "regression", "bbox_reg"),
        ):
            for index, name in enumerate(style.convs):
                conv, after = list(head.convs)[2 * index : 2 * index + 2]
                yield from conv_entries(conv, f"head.{kind}_head.conv.{name}")
                if self._improved:  # otherwise it is a ReLU
                    yield from affine_entries(after, f"head.{kind}_head.conv.{index}.1")
            entries = conv_entries(head.output, f"head.{kind}_head.{output}")
            yield from (_class_rows(self, entry) for entry in entries) if head is self.class_head else entries


# On COCO both references have 91 channels, numbered by COCO's category ids, of which 80 are in use.
_COCO_CHANNELS = 91


def _class_rows(net: RetinaNet, entry: Entry) -> Entry:
    """Returns the entry of the class layer, so that it exchanges weights with a layer of 91 channels.

    This concerns networks whose classes are all COCO's; the entry of another one is returned as it is. A
    network for all 80 classes in COCO's order is written with 91 channels, and reads files of 91 and of 80.
    Other networks are written as they are, and read both too.
    """
    if len(net.classes) == _COCO_CHANNELS or not set(net.classes) <= set(COCO_IDS):
        return entry
    per_cell, ours = net.anchor_generator.per_cell, len(net.classes)
    ids = [COCO_IDS[name] for name in net.classes]

    def pick(array: np.ndarray) -> np.ndarray:
        rest = array.shape[1:]
        return array.reshape((per_cell, _COCO_CHANNELS) + rest)[:, ids].reshape((-1,) + rest)

    def spread(array: np.ndarray) -> np.ndarray:
        rest = array.shape[1:]
        # Channels that stand for no class get weight 0 and bias -20, a probability of 2e-9.
        full = np.full((per_cell, _COCO_CHANNELS) + rest, 0 if rest else -_NEVER, dtype=array.dtype)
        full[:, ids] = array.reshape((per_cell, ours) + rest)
        return full.reshape((-1,) + rest)

    if net.classes != COCO_CLASSES:
        return replace(entry, adapt=lambda arrays: [_if_rows(arrays[0], per_cell * _COCO_CHANNELS, pick)])
    return replace(
        entry,
        join=lambda arrays: pick(arrays[0]),
        split=lambda array: [spread(array)],
        adapt=lambda arrays: [_if_rows(arrays[0], per_cell * ours, spread)],
    )


_NEVER = 20


def _if_rows(array: np.ndarray, rows: int, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return change(array) if array.shape[0] == rows else array
