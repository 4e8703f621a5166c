"""FCOS as a family of detectors in one file: predictions per place instead of per anchor, and centre-ness.

    gluon-ssd demo --data-only shapes
    gluon-ssd train --recipe examples/fcos.yaml --data shapes --output runs/fcos
    gluon-ssd val runs/fcos

Source: Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection" (2019), with its later choices:
centre-ness beside the box, sampling round an object's centre, GIoU loss (Rezatofighi et al., 2019). Batch
norms of each level's own stand for the group norms of the heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from mxnet import init
from mxnet.gluon import HybridBlock, nn

from gluon_ssd.data.coco_names import COCO_CLASSES
from gluon_ssd.data.preprocess import Preprocess
from gluon_ssd.losses import RetinaLoss
from gluon_ssd.model_zoo import Backbone, DetectionNetwork, ModelRow, register_model
from gluon_ssd.model_zoo.resnet import ResNet
from gluon_ssd.model_zoo.specs import RESNETS, ResNetSpec
from gluon_ssd.nn import Conv2D, FeaturePyramid, channels_last, current, norm
from gluon_ssd.postprocess import RetinaPostprocess

STRIDES = (8, 16, 32, 64, 128)
# The square that stands for a place, in strides; and how far round its centre an object takes places.
SIDE, RADIUS = 8, 1.5


class Head(HybridBlock):
    """Convolutions that all levels share, each with norms of the levels' own, and an output convolution.

    ``head(*levels)`` gives per level (B, H * W, outputs), by row, then column.
    """

    def __init__(self, channels: int, depth: int, outputs: int, bias: float = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._outputs, self._layout = outputs, current().layout
        with self.name_scope():
            self.convs = nn.HybridSequential(prefix="")
            self.norms = nn.HybridSequential(prefix="")
            for _ in range(depth):
                self.convs.add(Conv2D(channels, 3, padding=1, in_channels=channels))
                for _ in STRIDES:
                    self.norms.add(norm(channels, act="relu"))
            start = {"weight_initializer": init.Normal(0.01), "bias_initializer": init.Constant(bias)}
            shape = {"padding": 1, "in_channels": channels, "use_bias": True}
            self.output = Conv2D(outputs, 3, prefix="output_", **shape, **start)

    def hybrid_forward(self, F: Any, *levels: Any) -> list[Any]:
        found = []
        for level, x in enumerate(levels):
            for index, conv in enumerate(self.convs):
                x = self.norms[index * len(STRIDES) + level](conv(x))
            found.append(F.reshape(channels_last(F, self.output(x), self._layout), (0, -1, self._outputs)))
        return found


class FCOS(DetectionNetwork):
    """Images to logits of classes, distances to a box's four sides in strides, and a logit of centre-ness.

    ``reach``: in strides, up to which distance of its farthest side the finest level takes an object; each
    level takes those up to twice as far as the one before, and the coarsest all that are larger.
    """

    output_names = ("cls_preds", "box_preds", "centre_preds")

    def __init__(
        self, row: ModelRow, classes: Sequence[str], backbone: Backbone, channels: int, depth: int, reach: int
    ) -> None:
        super().__init__(row.name, classes, Preprocess(size=row.input_size), prefix="fcos0_")
        self._reach = reach
        with self.name_scope():
            self.backbone = backbone
            widths = [width for width, _ in backbone.feature_info]
            self.pyramid = FeaturePyramid(widths, channels, prefix="pyramid0_")
            # Classes start at a probability of 0.01.
            self.class_head = Head(channels, depth, len(self.classes), -4.6, prefix="classhead0_")
            self.box_head = Head(channels, depth, 5, prefix="boxhead0_")
            self.scales = self.params.get("scales", shape=(len(STRIDES),), init="ones")

    def features(self, x: Any) -> list[Any]:
        return self.pyramid(*self.backbone(x))

    def hybrid_forward(self, F: Any, x: Any, scales: Any) -> tuple[Any, Any, Any]:
        levels, boxes, centres = self.features(x), [], []
        scales = F.amp_cast(scales, dtype="float32")
        for level, found in enumerate(self.box_head(*levels)):
            scale = F.reshape(F.slice_axis(scales, axis=0, begin=level, end=level + 1), (1, 1, 1))
            scaled = F.broadcast_mul(F.slice_axis(found, axis=2, begin=0, end=4), scale)
            boxes.append(F.exp(F.clip(scaled, -6, 6)))
            centres.append(F.slice_axis(found, axis=2, begin=4, end=5))
        parts = self.class_head(*levels), boxes, centres
        return tuple(F.concat(*part, dim=1) for part in parts)

    def anchors(self, height: int, width: int) -> np.ndarray:
        centres, strides = places(height, width)
        half = strides[:, None] * SIDE / 2
        return np.concatenate([centres - half, centres + half], axis=1)

    def target_encoder(self, input_size: tuple[int, int] | None = None) -> TargetEncoder:
        return TargetEncoder(input_size or self.input_size, self._reach)

    def loss(self) -> FCOSLoss:
        return FCOSLoss()

    def postprocess(self, input_size: tuple[int, int] | None = None, **settings: Any) -> FCOSPostprocess:
        size = input_size or self.input_size
        _, strides = places(*size)
        counts = [int((strides == stride).sum()) for stride in STRIDES]
        anchors, classes = self.anchors(*size), len(self.classes)
        return FCOSPostprocess(RetinaPostprocess(anchors, counts, size, classes, **settings))

    def head_rows(self, classes: Sequence[str]) -> dict[str, Any]:
        ours, theirs = np.array(self.shared_classes(classes), dtype=np.int64).reshape(-1, 2).T
        output = self.class_head.output
        return {parameter.name: (ours, theirs, len(classes)) for parameter in (output.weight, output.bias)}


def places(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres (A, 2) in pixels of an input of this size, and strides (A,), both float32; fine to coarse."""
    centres, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: -(-height // stride), : -(-width // stride)]
        centres.append((np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) * stride)
        strides.append(np.full(x.size, stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(strides).astype(np.float32)


class TargetEncoder:
    """Of the objects round whose centre a place lies and whose size is its level's, it takes the smallest.

    ``encoder(boxes, labels)`` returns classes (B, A), class + 1 and 0 for background; distances to the box's
    left, top, right and bottom side in strides (B, A, 4); and centre-ness (B, A).
    """

    def __init__(self, input_size: tuple[int, int], reach: int) -> None:
        height, width = input_size
        self._scale = np.array([width, height, width, height], dtype=np.float32)
        self._centres, self._strides = places(height, width)
        self._least = np.where(self._strides == STRIDES[0], 0, self._strides * reach / 2)[:, None]
        self._most = np.where(self._strides == STRIDES[-1], np.inf, self._strides * reach)[:, None]

    def __call__(self, boxes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        real = [names >= 0 for names in labels]
        images = [self._image(a[rows] * self._scale, b[rows]) for a, b, rows in zip(boxes, labels, real)]
        classes, sides, centreness = (np.stack(arrays) for arrays in zip(*images))
        return classes, sides, centreness

    def _image(self, boxes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, y = self._centres[:, :1], self._centres[:, 1:]
        sides = np.stack([x - boxes[:, 0], y - boxes[:, 1], boxes[:, 2] - x, boxes[:, 3] - y], axis=2)
        farthest, centre = sides.max(axis=2), (boxes[:, :2] + boxes[:, 2:]) / 2
        near = np.abs(self._centres[:, None] - centre).max(axis=2) < RADIUS * self._strides[:, None]
        taken = near & (sides.min(axis=2) > 0) & (farthest > self._least) & (farthest <= self._most)
        areas = np.where(taken, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), np.inf)
        # A column more, so that there is one to choose where an image has no objects.
        best = np.pad(areas, ((0, 0), (0, 1)), constant_values=np.inf).argmin(axis=1)
        place = np.flatnonzero(taken.any(axis=1))
        classes = np.zeros(len(x), np.float32)
        distances, centreness = np.zeros((len(x), 4), np.float32), np.zeros(len(x), np.float32)
        classes[place] = labels[best[place]] + 1
        distances[place] = sides[place, best[place]] / self._strides[place, None]
        pairs = distances[place].reshape(-1, 2, 2)
        centreness[place] = np.sqrt((pairs.min(axis=1) / pairs.max(axis=1)).prod(axis=1))
        return classes, distances, centreness


class FCOSLoss(RetinaLoss):
    """Focal loss of classes, GIoU loss of boxes weighted by centre-ness, cross entropy of centre-ness.

    Inputs: the outputs of `FCOS`, then the targets. Boxes are divided by the sum of their weights, the others
    by the number of places with an object.
    """

    part_names = ("cls_loss", "box_loss", "centre_loss")

    def hybrid_forward(self, F: Any, cls_preds: Any, box_preds: Any, centre_preds: Any, *targets: Any) -> Any:
        cls_targets, box_targets, centre_targets = targets
        foreground = cls_targets > 0
        count = F.maximum(F.sum(foreground), 1)
        cls_loss = F.sum(self.focal(F, cls_preds, cls_targets)) / count
        weighed = F.sum((1 - giou(F, box_preds, box_targets)) * centre_targets)
        box_loss = weighed / F.maximum(F.sum(centre_targets), 1e-6)
        logits = F.reshape(centre_preds, (0, -1))
        entropy = F.Activation(logits, act_type="softrelu") - logits * centre_targets
        centre_loss = F.sum(entropy * foreground) / count
        return cls_loss + box_loss + centre_loss, cls_loss, box_loss, centre_loss


def giou(F: Any, first: Any, second: Any) -> Any:
    """(B, A) generalised IoU of boxes that are given by the distances of their sides from one place."""

    def area(sides: Any) -> Any:
        left, top, right, bottom = F.split(sides, 4, axis=2, squeeze_axis=True)
        return (left + right) * (top + bottom)

    shared, around = area(F.minimum(first, second)), area(F.maximum(first, second))
    union = area(first) + area(second) - shared
    return shared / F.maximum(union, 1e-6) - (around - union) / F.maximum(around, 1e-6)


class FCOSPostprocess(HybridBlock):
    """RetinaNet's selection and NMS. A score is the geometric mean of class and centre-ness."""

    def __init__(self, select: RetinaPostprocess, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.select = select

    def hybrid_forward(self, F: Any, cls_preds: Any, box_preds: Any, centre_preds: Any) -> Any:
        product = F.broadcast_mul(F.sigmoid(cls_preds), F.sigmoid(centre_preds))
        score = F.clip(F.sqrt(product), 1e-6, 1 - 1e-6)
        near = F.slice_axis(box_preds, axis=2, begin=0, end=2)
        far = F.slice_axis(box_preds, axis=2, begin=2, end=4)
        # As box deltas against the square that stands for the place.
        deltas = F.concat((far - near) / (2 * SIDE), F.log((near + far) / SIDE), dim=2)
        return self.select(F.log(score / (1 - score)), deltas)


ROW = ModelRow(
    name="fcos_resnet50",
    family="fcos",
    backbone="resnet50",
    input_size=(800, 800),
    default_classes=COCO_CLASSES,
    summary="FCOS with ResNet-50 and a feature pyramid",
    source="Tian et al. 2019",
    backbone_weights="resnet50",
)
TINY = replace(ROW, name="fcos_tiny", backbone="resnet10", input_size=(192, 192), backbone_weights="")
RESNET10 = ResNetSpec("resnet10", (1, 1, 1, 1), (32, 48, 64, 96), stem_channels=32, stem_kernel=3)


def _resnet(spec: ResNetSpec) -> ResNet:
    return ResNet(replace(spec, outputs=(2, 3, 4)), prefix="fcos0_resnet0_")


@register_model(ROW)
def build_fcos(row: ModelRow, classes: Sequence[str]) -> FCOS:
    return FCOS(row, classes, _resnet(RESNETS["resnet50"]), channels=256, depth=4, reach=8)


@register_model(replace(TINY, summary="small FCOS for the demo's shapes"))
def build_tiny(row: ModelRow, classes: Sequence[str]) -> FCOS:
    return FCOS(row, classes, _resnet(RESNET10), channels=48, depth=1, reach=4)
