"""A loss of one's own: an SSD that learns by focal loss instead of hard negative mining.

It is a plugin, which adds the model `ssd_tiny_focal` to the zoo:

    gluon-ssd train --recipe ssd_tiny/finetune --data my_set --plugin examples/own_loss.py \\
        --model ssd_tiny_focal

Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), here on SSD's softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mxnet.gluon import HybridBlock

from gluon_ssd.data.preprocess import Preprocess
from gluon_ssd.model_zoo import ModelRow, model_row, register_model
from gluon_ssd.model_zoo.resnet import ResNet
from gluon_ssd.model_zoo.ssd import SSD
from gluon_ssd.model_zoo.ssd_models import CONFIGS


class SoftmaxFocalLoss(HybridBlock):
    """Cross entropy of all default boxes, of which easy ones weigh little, and smooth L1 of the positives."""

    # Names of what is returned after the loss; they become columns of metrics.csv.
    part_names = ("cls_loss", "box_loss")

    def hybrid_forward(
        self, F: Any, cls_preds: Any, box_preds: Any, cls_targets: Any, box_targets: Any
    ) -> tuple[Any, Any, Any]:
        log_share = F.pick(F.log_softmax(cls_preds, axis=-1), cls_targets, axis=-1)
        focal = -F.square(1 - F.exp(log_share)) * log_share
        positive = cls_targets > 0
        distance = F.sum(F.smooth_l1(box_preds - box_targets, scalar=1.0), axis=2) * positive
        count = F.maximum(F.sum(positive, axis=1), 1)
        cls_loss, box_loss = (F.mean(F.sum(part, axis=1) / count) for part in (focal, distance))
        return cls_loss + box_loss, cls_loss, box_loss


class FocalSSD(SSD):
    def loss(self) -> SoftmaxFocalLoss:
        return SoftmaxFocalLoss()


ROW = replace(model_row("ssd_tiny"), name="ssd_tiny_focal", summary="ssd_tiny with focal loss", options=())


@register_model(ROW)
def build(row: ModelRow, classes: Sequence[str]) -> FocalSSD:
    parts = CONFIGS["ssd_tiny"]
    backbone, preprocess = ResNet(parts.backbone, prefix="ssd0_resnet0_"), Preprocess(size=row.input_size)
    boxes = parts.default_boxes
    return FocalSSD(row.name, backbone, parts.extras, boxes, classes, preprocess, norm=True, prefix="ssd0_")
