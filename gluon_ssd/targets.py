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

from collections.abc import Sequence

import numpy as np

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
