"""Target assignment: which default box or anchor is responsible for which object.

All encoders take the padded objects of a batch, ``boxes`` (B, M, 4) ltrb fractions and ``labels`` (B, M)
class index with -1 in padding rows, and return ``cls_targets`` (B, A) with 0 for background, -1 for anchors
left out of the loss (RetinaNet) and class index + 1 otherwise, and ``box_targets`` (B, A, 4) box deltas, 0
except for the foreground. An image without objects is all background.

SSD's assignment (Liu et al., 2016, section 2.2): a default box takes the object of highest IoU if that
exceeds the threshold; besides, every object takes the default box that overlaps it most, and of two objects
that share their best default box the later one gets it.

RetinaNet's (Lin et al., 2017, section 4, with torchvision's rule for hard objects): an anchor takes the
object of highest IoU from 0.5 on, is background below 0.4 and left out between; besides, every object claims
all anchors that tie for its highest IoU, however low, and such an anchor takes the object that overlaps it
most.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
from mxnet.gluon import HybridBlock

from .boxes import SSD_VARIANCES, encode, ltrb_to_xywh, pairwise_iou, xywh_to_ltrb

_UNIT_VARIANCES = (1, 1, 1, 1)


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
        return _dense_targets(self.match(boxes, labels), boxes, labels, self.anchors, self.variances)


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

    def hybrid_forward(self, F: Any, boxes: Any, labels: Any, anchors: Any, corners: Any) -> tuple[Any, Any]:
        valid = F.expand_dims(labels >= 0, 2)
        iou = F.broadcast_mul(_graph_iou(F, boxes, corners) + 1, valid) - 1
        best = F.max(iou, axis=1)
        # Row number + 1 of the object that claims a default box as its best, the later one if several do.
        columns = F.contrib.arange_like(F.slice_axis(iou, axis=0, begin=0, end=1), axis=2).reshape((1, 1, -1))
        claims = F.broadcast_equal(F.expand_dims(F.argmax(iou, axis=2), 2), columns)
        rows = F.contrib.arange_like(labels, axis=1).reshape((1, -1, 1)) + 1
        claimed = F.max(F.broadcast_mul(F.broadcast_mul(claims, valid), rows), axis=1)
        matched = F.where(claimed > 0, claimed - 1, F.argmax(iou, axis=1))
        positive = F.broadcast_logical_or(best > self._iou_threshold, claimed > 0)

        index = _graph_rows(F, matched)
        cls_targets = (F.gather_nd(labels, index) + 1) * positive
        objects = F.gather_nd(boxes, index)
        deltas = _graph_encode(F, objects, anchors, self._variances)
        return cls_targets, F.broadcast_mul(deltas, F.expand_dims(positive, 2))


def _graph_rows(F: Any, matched: Any) -> Any:
    """(B, A) row of an object in its image to the (2, B, A) index that gather_nd takes."""
    image = F.reshape(F.contrib.arange_like(matched, axis=0), (-1, 1))
    return F.stack(F.broadcast_like(image, matched), matched, axis=0)


def _graph_iou(F: Any, boxes: Any, corners: Any) -> Any:
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


def _graph_encode(F: Any, ltrb: Any, anchors: Any, variances: Sequence[float]) -> Any:
    low, high = F.slice_axis(ltrb, axis=2, begin=0, end=2), F.slice_axis(ltrb, axis=2, begin=2, end=4)
    centre = F.slice_axis(anchors, axis=2, begin=0, end=2)
    size = F.slice_axis(anchors, axis=2, begin=2, end=4)
    var_x, var_y, var_w, var_h = variances
    offset = F.broadcast_div(F.broadcast_sub((low + high) / 2, centre), size)
    # Padding rows have no extent; their deltas are masked, so they only have to stay finite.
    scale = F.log(F.broadcast_div(F.maximum(high - low, 1e-12), size))
    parts = F.split(offset, 2, axis=2), F.split(scale, 2, axis=2)
    return F.concat(parts[0][0] / var_x, parts[0][1] / var_y, parts[1][0] / var_w, parts[1][1] / var_h, dim=2)


BACKGROUND, LEFT_OUT = -1, -2
# Objects compared with all anchors at once: bounds the memory for crowded images.
_CHUNK = 16


class RetinaTargetEncoder:
    """RetinaNet's assignment and encoding of a whole batch in NumPy.

    ``anchors``: (A, 4) float32 ltrb pixels of an input of ``input_size`` (height, width); the objects are
    still given in fractions of the image.
    """

    def __init__(
        self,
        anchors: np.ndarray,
        input_size: tuple[int, int],
        foreground_iou: float = 0.5,
        background_iou: float = 0.4,
    ) -> None:
        self.anchors = np.asarray(anchors, dtype=np.float32)
        self.input_size = input_size
        self.foreground_iou, self.background_iou = foreground_iou, background_iou
        self._anchors_xywh = ltrb_to_xywh(self.anchors)

    def match(self, boxes: np.ndarray) -> np.ndarray:
        """(n, 4) ltrb pixels to (A,) index of each anchor's object, -1 for background, -2 for left out."""
        best = np.full(len(self.anchors), -1, dtype=np.float32)
        index = np.zeros(len(self.anchors), dtype=np.int64)
        claimed = np.zeros(len(self.anchors), dtype=np.bool_)
        for start in range(0, len(boxes), _CHUNK):
            iou = pairwise_iou(boxes[start : start + _CHUNK], self.anchors)
            chunk_best = iou.max(axis=0)
            better = chunk_best > best
            index[better] = start + iou[:, better].argmax(axis=0)
            best[better] = chunk_best[better]
            highest = iou.max(axis=1)
            claimed |= (iou == np.where(highest > 0, highest, np.inf)[:, None]).any(axis=0)
        matched = np.where(best < self.background_iou, BACKGROUND, LEFT_OUT)
        foreground = claimed | (best >= self.foreground_iou)
        matched[foreground] = index[foreground]
        return matched

    def __call__(self, boxes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns (cls_targets (B, A) float32, box_targets (B, A, 4) float32)."""
        height, width = self.input_size
        pixels = boxes * np.array([width, height, width, height], dtype=np.float32)
        matched = np.empty((len(boxes), len(self.anchors)), dtype=np.int64)
        for image in range(len(boxes)):
            valid = np.flatnonzero(labels[image] >= 0)
            matched[image] = self.match(pixels[image, valid])
            positive = matched[image] >= 0
            matched[image, positive] = valid[matched[image, positive]]
        return _dense_targets(matched, pixels, labels, self._anchors_xywh, _UNIT_VARIANCES)


def _dense_targets(
    matched: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    anchors: np.ndarray,
    variances: Sequence[float],
) -> tuple[np.ndarray, np.ndarray]:
    """(cls_targets, box_targets) of ``matched`` (B, A): the object of every anchor, or what it is instead."""
    cls_targets = np.where(matched == LEFT_OUT, -1, 0).astype(np.float32)
    box_targets = np.zeros(matched.shape + (4,), dtype=np.float32)
    image, anchor = np.nonzero(matched >= 0)
    row = matched[image, anchor]
    cls_targets[image, anchor] = labels[image, row] + 1
    box_targets[image, anchor] = encode(ltrb_to_xywh(boxes[image, row]), anchors[anchor], variances)
    return cls_targets, box_targets


class RetinaTargets(HybridBlock):
    """Gluon twin of `RetinaTargetEncoder`, for encoding on the device.

    Inputs are float32: boxes (B, M, 4) and labels (B, M). Memory is a few times B x M x A floats.
    """

    def __init__(
        self,
        anchors: np.ndarray,
        input_size: tuple[int, int],
        foreground_iou: float = 0.5,
        background_iou: float = 0.4,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._foreground_iou, self._background_iou = foreground_iou, background_iou
        scale = np.array(input_size[::-1] * 2, dtype=np.float32)
        with self.name_scope():
            self.anchors = self.params.get_constant("anchors", ltrb_to_xywh(anchors)[None])
            self.corners = self.params.get_constant("corners", anchors[None])
            self.scale = self.params.get_constant("scale", scale.reshape(1, 1, 4))

    def hybrid_forward(
        self, F: Any, boxes: Any, labels: Any, anchors: Any, corners: Any, scale: Any
    ) -> tuple[Any, Any]:
        boxes = F.broadcast_mul(boxes, scale)
        valid = F.expand_dims(labels >= 0, 2)
        # -1 in padding rows; in the others nothing is rounded, as ties are decided by equality.
        iou = F.broadcast_add(F.broadcast_mul(_graph_iou(F, boxes, corners), valid), valid - 1)
        best = F.max(iou, axis=1)
        highest = F.max(iou, axis=2, keepdims=True)
        claims = F.broadcast_mul(F.broadcast_equal(iou, highest), highest > 0)
        foreground = F.broadcast_logical_or(best >= self._foreground_iou, F.max(claims, axis=1))
        left_out = (best >= self._background_iou) * (1 - foreground)

        index = _graph_rows(F, F.argmax(iou, axis=1))
        cls_targets = (F.gather_nd(labels, index) + 1) * foreground - left_out
        deltas = _graph_encode(F, F.gather_nd(boxes, index), anchors, _UNIT_VARIANCES)
        return cls_targets, F.broadcast_mul(deltas, F.expand_dims(foreground, 2))
