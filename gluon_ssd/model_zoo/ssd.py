"""The SSD network: backbone, extra layers, one predictor per feature map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np
from mxnet import init
from mxnet.gluon import HybridBlock, nn

from ..anchors import DefaultBoxes
from ..data.preprocess import Preprocess
from ..losses import MultiBoxLoss
from ..nn import Activation, BatchNorm, Conv2D, ConvPredictor, TorchBias
from ..postprocess import SSDPostprocess
from ..targets import SSDTargetEncoder


@dataclass(frozen=True)
class ExtraLayer:
    """1x1 convolution to ``middle`` channels, then 3x3 to ``channels``, each with ReLU."""

    middle: int
    channels: int
    stride: int = 2
    padding: int = 1


def _extra_conv(channels: int, kernel: int, in_channels: int, norm: bool, **kwargs: Any) -> Conv2D:
    return Conv2D(
        channels,
        kernel,
        in_channels=in_channels,
        use_bias=not norm,
        weight_initializer=init.Xavier("uniform", "avg", 3),
        bias_initializer=TorchBias(in_channels * kernel * kernel),
        **kwargs,
    )


class SSD(HybridBlock):
    """Single shot detector. Source: Liu et al., "SSD: Single Shot MultiBox Detector" (2016).

    (B, 3, H, W) normalised images to ``cls_preds`` (B, A, C + 1), raw logits with background in channel 0,
    and ``box_preds`` (B, A, 4), box codes; A runs over feature maps from fine to coarse, then row, column
    and box. The outputs are the same in training and inference.

    ``class_names``: names without background. ``norm``: batch norm instead of bias in the extra layers.
    Raises ValueError where the parts do not fit together.
    """

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
        super().__init__(**kwargs)
        self.model_name = name
        self.classes: tuple[str, ...] = tuple(class_names)
        self.preprocess = preprocess
        self.default_boxes = default_boxes
        maps = [channels for channels, _ in backbone.feature_info] + [extra.channels for extra in extras]
        if len(maps) != len(default_boxes.map_sizes):
            raise ValueError(
                f"backbone and extra layers give {len(maps)} feature maps, "
                f"the default boxes are for {len(default_boxes.map_sizes)}"
            )
        with self.name_scope():
            self.backbone = backbone
            self.extras = self._extras(backbone.feature_info[-1][0], extras, norm)
            self.predictors = nn.HybridSequential(prefix="")
            for index, (channels, boxes) in enumerate(zip(maps, default_boxes.per_cell)):
                prefix = f"convpredictor{index}_"
                self.predictors.add(ConvPredictor(channels, boxes, len(self.classes) + 1, prefix=prefix))

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the input in pixels."""
        return self.preprocess.size

    @property
    def anchors(self) -> np.ndarray:
        """(A, 4) float32 default boxes, xywh fractions of the image, in the order of the outputs."""
        return self.default_boxes.xywh()

    def target_encoder(self, input_size: tuple[int, int] | None = None) -> SSDTargetEncoder:
        """The assignment of objects to this network's default boxes; they do not depend on ``input_size``."""
        return SSDTargetEncoder(self.anchors)

    def loss(self) -> MultiBoxLoss:
        """The loss that trains this network."""
        return MultiBoxLoss()

    def postprocess(self, **settings: Any) -> SSDPostprocess:
        """The block that turns this network's outputs into detections; see `SSDPostprocess` for settings."""
        return SSDPostprocess(self.anchors, len(self.classes), **settings)

    def _extras(self, in_channels: int, extras: Sequence[ExtraLayer], norm: bool) -> HybridBlock:
        layers = nn.HybridSequential(prefix="")
        for index, extra in enumerate(extras):
            layer = nn.HybridSequential(prefix="")
            layer.add(_extra_conv(extra.middle, 1, in_channels, norm, prefix=f"expand_trans_conv{index}_"))
            if norm:
                layer.add(BatchNorm(extra.middle, prefix=f"expand_trans_batchnorm{index}_"))
            layer.add(Activation())
            geometry = {"strides": extra.stride, "padding": extra.padding}
            layer.add(
                _extra_conv(extra.channels, 3, extra.middle, norm, prefix=f"expand_conv{index}_", **geometry)
            )
            if norm:
                layer.add(BatchNorm(extra.channels, prefix=f"expand_batchnorm{index}_"))
            layer.add(Activation())
            layers.add(layer)
            in_channels = extra.channels
        return layers

    def hybrid_forward(self, F: Any, x: Any) -> tuple[Any, Any]:
        features = list(self.backbone(x))
        for extra in self.extras:
            features.append(extra(features[-1]))
        logits, codes = zip(*[predict(feature) for predict, feature in zip(self.predictors, features)])
        cls_preds, box_preds = F.concat(*logits, dim=1), F.concat(*codes, dim=1)
        return F.cast(cls_preds, dtype="float32"), F.cast(box_preds, dtype="float32")
