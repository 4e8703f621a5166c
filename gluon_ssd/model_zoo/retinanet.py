"""The RetinaNet network: backbone, feature pyramid, two heads shared by its levels."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
from mxnet.gluon import Block, HybridBlock

from ..anchors_retina import RetinaAnchors
from ..data.preprocess import Preprocess
from ..errors import UserError
from ..losses import RetinaLoss
from ..nn import FeaturePyramid, FrozenBatchNorm, PyramidHead
from ..postprocess import RetinaPostprocess
from ..targets import RetinaTargetEncoder
from .network import HeadRows, Network

PRIOR_PROBABILITY = 0.01


class RetinaNet(Network):
    """One-stage detector with focal loss. Source: Lin et al., "Focal Loss for Dense Object Detection" (2017).

    (B, 3, H, W) normalised images of any size to ``cls_preds`` (B, A, C), one raw logit per class, no
    background, and ``box_preds`` (B, A, 4), box deltas; A runs over levels P3 to P7, then row, column and
    anchor. ``anchors(H, W)`` gives the anchors of an input size.

    ``trainable_layers``: how many of the backbone's parts are trained, counted from the last stage; the stem
    is the fifth. Raises ValueError where the parts do not fit together.
    """

    def __init__(
        self,
        name: str,
        backbone: HybridBlock,
        anchors: RetinaAnchors,
        class_names: Sequence[str],
        preprocess: Preprocess,
        *,
        trainable_layers: int = 3,
        channels: int = 256,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, class_names, preprocess, **kwargs)
        strides = [stride for _, stride in backbone.feature_info]
        if strides != [2 ** (anchors.first_level + index) for index in range(3)]:
            raise ValueError(
                f"anchors start at P{anchors.first_level}, but the backbone has strides {strides}"
            )
        self.anchors = anchors
        with self.name_scope():
            self.backbone = backbone
            self.pyramid = FeaturePyramid(
                [width for width, _ in backbone.feature_info], channels, prefix="pyramid0_"
            )
            counts = (anchors.per_cell, len(self.classes))
            self.class_head = PyramidHead(channels, *counts, PRIOR_PROBABILITY, prefix="classhead0_")
            self.box_head = PyramidHead(channels, anchors.per_cell, 4, prefix="boxhead0_")
        stages = len(backbone.stages)
        if not isinstance(trainable_layers, int) or not 0 <= trainable_layers <= stages + 1:
            raise UserError(f"trainable_layers is {trainable_layers!r}; {name} takes 0 to {stages + 1}")
        self.freeze(range(stages + 1 - trainable_layers))

    def set_norm_epsilon(self, epsilon: float) -> None:
        """Changes the epsilon of every frozen batch norm: weights go with the one they were trained with."""

        def visit(block: Block) -> None:
            if isinstance(block, FrozenBatchNorm):
                block.epsilon = epsilon

        self.apply(visit)
        self.options["norm_epsilon"] = epsilon
        self.hybridize(self._active, **dict(self._flags))

    def _size(self, input_size: Sequence[int] | None) -> tuple[int, int]:
        height, width = self.input_size if input_size is None else input_size
        return int(height), int(width)

    def target_encoder(self, input_size: tuple[int, int] | None = None) -> RetinaTargetEncoder:
        """The assignment of objects to the anchors of an input of ``input_size``."""
        size = self._size(input_size)
        return RetinaTargetEncoder(self.anchors(*size), size)

    def loss(self) -> RetinaLoss:
        """The loss that trains this network."""
        return RetinaLoss()

    def postprocess(self, input_size: tuple[int, int] | None = None, **settings: Any) -> RetinaPostprocess:
        """The block that turns outputs for an input of ``input_size`` into detections."""
        size = self._size(input_size)
        counts = self.anchors.level_counts(*size)
        return RetinaPostprocess(self.anchors(*size), counts, size, len(self.classes), **settings)

    def features(self, x: Any) -> list[Any]:
        """The maps that the heads read, levels P3 to P7."""
        return self.pyramid(*self.backbone(x))

    def hybrid_forward(self, F: Any, x: Any) -> tuple[Any, Any]:
        levels = self.features(x)
        cls_preds = F.concat(*[self.class_head(level) for level in levels], dim=1)
        box_preds = F.concat(*[self.box_head(level) for level in levels], dim=1)
        return F.cast(cls_preds, dtype="float32"), F.cast(box_preds, dtype="float32")

    def head_rows(self, classes: Sequence[str]) -> HeadRows:
        shared = np.array(self.shared_classes(classes), dtype=np.int64).reshape(-1, 2)
        anchor = np.arange(self.anchors.per_cell)[:, None]
        ours = (anchor * len(self.classes) + shared[:, 0]).ravel()
        theirs = (anchor * len(classes) + shared[:, 1]).ravel()
        rows = self.anchors.per_cell * len(classes)
        output = self.class_head.output
        return {parameter.name: (ours, theirs, rows) for parameter in (output.weight, output.bias)}
