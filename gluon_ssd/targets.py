"""Target assignment: which default box is responsible for which object.

Both encoders take the padded objects of a batch, ``boxes`` (B, M, 4) ltrb fractions and ``labels`` (B, M)
class index with -1 in padding rows, and return ``cls_targets`` (B, A) with 0 for background and class index
+ 1 otherwise, and ``box_targets`` (B, A, 4) box codes, 0 where the target is background. An image without
objects is all background.

Assignment (Liu et al., 2016, section 2.2): a default box takes the object of highest IoU if that exceeds the
threshold; besides, every object takes the default box that overlaps it most, and of two objects that share
their best default box the later one gets it.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
from mxnet.gluon import HybridBlock

from .boxes import SSD_VARIANCES, encode, ltrb_to_xywh, pairwise_iou, xywh_to_ltrb


class SSDTargetEncoder:
    """Assignment and encoding of a whole batch in NumPy, for the threads of the input pipeline.

    ``anchors``: (A, 4) float32 xywh fractions.
    """

    def __init__(
        self, anchors: np.ndarray, iou_threshold: float = 0.5, variances: Sequence[float] = SSD_VARIANCES
    ) -> None:
        self.anchors = np.asarray(anchors, dtype=np.float32)
        self.iou_threshold = iou_threshold
        self.variances = tuple(variances)
        self._anchors_ltrb = xywh_to_ltrb(self.anchors)

    def match(self, boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(B, A) index of the object each default box is responsible for, -1 for background."""
        valid = labels >= 0
        iou = np.full(labels.shape + (len(self.anchors),), -1, dtype=np.float32)
        iou[valid] = pairwise_iou(boxes[valid], self._anchors_ltrb)
        matched = iou.argmax(axis=1)
        best = np.take_along_axis(iou, matched[:, None], axis=1)[:, 0]
        matched[best <= self.iou_threshold] = -1
        image, row = np.nonzero(valid)
        # Rows are in order, and of repeated positions NumPy keeps the last: the later object wins.
        matched[image, iou[valid].argmax(axis=1)] = row
        return matched

    def __call__(self, boxes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns (cls_targets (B, A) float32, box_targets (B, A, 4) float32)."""
        matched = self.match(boxes, labels)
        cls_targets = np.zeros(matched.shape, dtype=np.float32)
        box_targets = np.zeros(matched.shape + (4,), dtype=np.float32)
        image, anchor = np.nonzero(matched >= 0)
        row = matched[image, anchor]
        cls_targets[image, anchor] = labels[image, row] + 1
        box_targets[image, anchor] = encode(
            ltrb_to_xywh(boxes[image, row]), self.anchors[anchor], self.variances
        )
        return cls_targets, box_targets


class SSDTargets(HybridBlock):
    """Gluon twin of `SSDTargetEncoder`, for encoding on the device where the boxes arrive raw.

    Inputs are float32: boxes (B, M, 4) and labels (B, M). Memory is a few times B x M x A floats.
    """

    def __init__(
        self,
        anchors: np.ndarray,
        iou_threshold: float = 0.5,
        variances: Sequence[float] = SSD_VARIANCES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._iou_threshold = iou_threshold
        self._variances = tuple(variances)
        with self.name_scope():
            self.anchors = self.params.get_constant("anchors", anchors[None])
            self.corners = self.params.get_constant("corners", xywh_to_ltrb(anchors)[None])

    def _iou(self, F: Any, boxes: Any, corners: Any) -> Any:
        """(B, M, 4) and (1, A, 4) ltrb to (B, M, A)."""
        low, high = F.slice_axis(boxes, axis=2, begin=0, end=2), F.slice_axis(boxes, axis=2, begin=2, end=4)
        anchor_low = F.slice_axis(corners, axis=2, begin=0, end=2)
        anchor_high = F.slice_axis(corners, axis=2, begin=2, end=4)
        top_left = F.broadcast_maximum(F.expand_dims(low, 2), F.expand_dims(anchor_low, 1))
        bottom_right = F.broadcast_minimum(F.expand_dims(high, 2), F.expand_dims(anchor_high, 1))
        intersection = F.prod(F.relu(bottom_right - top_left), axis=3)
        areas = F.expand_dims(F.prod(high - low, axis=2), 2)
        anchor_areas = F.expand_dims(F.prod(anchor_high - anchor_low, axis=2), 1)
        return intersection / F.broadcast_sub(F.broadcast_add(areas, anchor_areas), intersection)

    def hybrid_forward(self, F: Any, boxes: Any, labels: Any, anchors: Any, corners: Any) -> tuple[Any, Any]:
        valid = F.expand_dims(labels >= 0, 2)
        iou = F.broadcast_mul(self._iou(F, boxes, corners) + 1, valid) - 1
        best = F.max(iou, axis=1)
        # Row number + 1 of the object that claims a default box as its best, the later one if several do.
        columns = F.contrib.arange_like(F.slice_axis(iou, axis=0, begin=0, end=1), axis=2).reshape((1, 1, -1))
        claims = F.broadcast_equal(F.expand_dims(F.argmax(iou, axis=2), 2), columns)
        rows = F.contrib.arange_like(labels, axis=1).reshape((1, -1, 1)) + 1
        claimed = F.max(F.broadcast_mul(F.broadcast_mul(claims, valid), rows), axis=1)
        matched = F.where(claimed > 0, claimed - 1, F.argmax(iou, axis=1))
        positive = F.broadcast_logical_or(best > self._iou_threshold, claimed > 0)

        image = F.broadcast_like(F.contrib.arange_like(labels, axis=0).reshape((-1, 1)), matched)
        index = F.stack(image, matched, axis=0)
        cls_targets = (F.gather_nd(labels, index) + 1) * positive
        objects = F.gather_nd(boxes, index)
        return cls_targets, F.broadcast_mul(self._encode(F, objects, anchors), F.expand_dims(positive, 2))

    def _encode(self, F: Any, ltrb: Any, anchors: Any) -> Any:
        low, high = F.slice_axis(ltrb, axis=2, begin=0, end=2), F.slice_axis(ltrb, axis=2, begin=2, end=4)
        centre = F.slice_axis(anchors, axis=2, begin=0, end=2)
        size = F.slice_axis(anchors, axis=2, begin=2, end=4)
        var_x, var_y, var_w, var_h = self._variances
        offset = F.broadcast_div(F.broadcast_sub((low + high) / 2, centre), size)
        # Padding rows have no extent; their codes are masked, so they only have to stay finite.
        scale = F.log(F.broadcast_div(F.maximum(high - low, 1e-12), size))
        parts = F.split(offset, 2, axis=2), F.split(scale, 2, axis=2)
        return F.concat(
            parts[0][0] / var_x, parts[0][1] / var_y, parts[1][0] / var_w, parts[1][1] / var_h, dim=2
        )
