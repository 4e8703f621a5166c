"""The SSD network: backbone, extra layers, one predictor per feature map."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
from mxnet import init
from mxnet.gluon import HybridBlock, nn

from ..anchors import DefaultBoxes
from ..data.preprocess import Preprocess
from ..losses import MultiBoxLoss
from ..nn import Activation, Conv2D, ConvPredictor, TorchBias
from ..nn import norm as trained_norm
from ..postprocess import SSDPostprocess
from ..targets import SSDTargetEncoder
from .network import HeadRows, Network
from .specs import ExtraLayer


class ExtraBlock(HybridBlock):
    """The network of an `ExtraLayer`: with batch norm, or with biases and no norm."""

    def __init__(self, layer: ExtraLayer, in_channels: int, index: int, norm: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            name = f"expand_trans_conv{index}_"
            self.conv1 = self._conv(layer.middle, 1, in_channels, use_bias=not norm, prefix=name)
            self.norm1 = self._norm(layer.middle, norm, f"expand_trans_batchnorm{index}_")
            geometry = {"strides": layer.stride, "padding": layer.padding}
            name = f"expand_conv{index}_"
            self.conv2 = self._conv(
                layer.channels, 3, layer.middle, use_bias=not norm, prefix=name, **geometry
            )
            self.norm2 = self._norm(layer.channels, norm, f"expand_batchnorm{index}_")

    @staticmethod
    def _conv(channels: int, kernel: int, in_channels: int, **kwargs: Any) -> Conv2D:
        return Conv2D(
            channels,
            kernel,
            in_channels=in_channels,
            weight_initializer=init.Xavier("uniform", "avg", 3),
            bias_initializer=TorchBias(in_channels * kernel * kernel),
            **kwargs,
        )

    @staticmethod
    def _norm(channels: int, norm: bool, prefix: str) -> HybridBlock:
        return trained_norm(channels, act="relu", prefix=prefix) if norm else Activation()

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.norm2(self.conv2(self.norm1(self.conv1(x))))


class SSD(Network):
    """Single shot detector. Source: Liu et al., "SSD: Single Shot MultiBox Detector" (2016).

    (B, 3, H, W) normalised images to ``cls_preds`` (B, A, C + 1), raw logits with background in channel 0,
    and ``box_preds`` (B, A, 4), box deltas; A runs over feature maps from fine to coarse, then row, column
    and box. The outputs are the same in training and inference.

    ``class_names``: names without background. ``norm``: batch norm instead of bias in the extra layers.
    Raises ValueError where the parts do not fit together.
    """

    fixed_size = True

    def __init__(
        self,
        name: str,
        backbone: HybridBlock,
        extras: Sequence[ExtraLayer],
        default_boxes: DefaultBoxes,
        class_names: Sequence[str],
        preprocess: Preprocess,
        *,
        norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, class_names, preprocess, **kwargs)
        self.default_boxes = default_boxes
        maps = [channels for channels, _ in backbone.feature_info] + [extra.channels for extra in extras]
        if len(maps) != len(default_boxes.map_sizes):
            raise ValueError(
                f"backbone and extra layers give {len(maps)} feature maps, "
                f"the default boxes are for {len(default_boxes.map_sizes)}"
            )
        with self.name_scope():
            self.backbone = backbone
            self.extras = nn.HybridSequential(prefix="")
            in_channels = backbone.feature_info[-1][0]
            for index, extra in enumerate(extras):
                self.extras.add(ExtraBlock(extra, in_channels, index, norm, prefix=""))
                in_channels = extra.channels
            self.predictors = nn.HybridSequential(prefix="")
            for index, (channels, boxes) in enumerate(zip(maps, default_boxes.per_cell)):
                prefix = f"convpredictor{index}_"
                self.predictors.add(ConvPredictor(channels, boxes, len(self.classes) + 1, prefix=prefix))

    @property
    def anchors(self) -> np.ndarray:
        """(A, 4) float32 default boxes, xywh fractions of the image, in the order of the outputs."""
        return self.default_boxes.xywh()

    def target_encoder(self, input_size: tuple[int, int] | None = None) -> SSDTargetEncoder:
        """Maker of dense targets from padded objects. SSD's default boxes are fractions: no size matters."""
        return SSDTargetEncoder(self.anchors)

    def loss(self) -> MultiBoxLoss:
        """The loss this network is trained with."""
        return MultiBoxLoss()

    def postprocess(self, **settings: Any) -> SSDPostprocess:
        """Block from this network's outputs to detections; ``settings`` are `SSDPostprocess`'s."""
        return SSDPostprocess(self.anchors, len(self.classes), **settings)

    def head_rows(self, classes: Sequence[str]) -> HeadRows:
        shared = [(0, 0), *((ours + 1, theirs + 1) for ours, theirs in self.shared_classes(classes))]
        ours_in, theirs_in = np.array(shared).T
        ours_n, theirs_n = len(self.classes) + 1, len(classes) + 1
        table = {}
        for predictor, boxes in zip(self.predictors, self.default_boxes.per_cell):
            box, code = np.arange(boxes)[:, None], np.arange(boxes * 4)
            ours = np.concatenate([(box * ours_n + ours_in).ravel(), boxes * ours_n + code])
            theirs = np.concatenate([(box * theirs_n + theirs_in).ravel(), boxes * theirs_n + code])
            for parameter in (predictor.conv.weight, predictor.conv.bias):
                table[parameter.name] = (ours, theirs, boxes * (theirs_n + 4))
        return table

    def features(self, x: Any) -> list[Any]:
        """The maps that the predictors read, fine to coarse."""
        maps = list(self.backbone(x))
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return maps

    def hybrid_forward(self, F: Any, x: Any) -> tuple[Any, Any]:
        logits, deltas = zip(*[predict(found) for predict, found in zip(self.predictors, self.features(x))])
        cls_preds, box_preds = F.concat(*logits, dim=1), F.concat(*deltas, dim=1)
        return F.amp_cast(cls_preds, dtype="float32"), F.amp_cast(box_preds, dtype="float32")
