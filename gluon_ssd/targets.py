"""Target assignment: which default box or anchor is responsible for which object.

All encoders take the padded objects of a batch: ``boxes`` (B, M, 4), ltrb in fractions of the image, and
``labels`` (B, M), class indices with -1 in padding rows; M is at least 1. They return ``cls_targets`` (B, A)
float32, which is 0 for background, -1 for anchors left out of the loss (RetinaNet only) and class index + 1
otherwise, and ``box_targets`` (B, A, 4) float32, box deltas that are 0 except for the foreground. An image
without objects is all background.

SSD's assignment is that of Liu et al. (2016), section 2.2. A default box takes the object of highest IoU if
that exceeds the threshold. In addition, every object takes the default box that overlaps it most; if two
objects have the same best default box, the later object gets it.

RetinaNet's assignment is that of Lin et al. (2017), section 4, with torchvision's rule for hard objects. An
anchor takes the object of highest IoU if that is at least 0.5, is background if it is below 0.4, and is left
out of the loss between the two. In addition, every object claims all anchors that tie for its highest IoU,
however low that is, and a claimed anchor takes the object that overlaps it most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .boxes import SSD_VARIANCES, encode, ltrb_to_xywh, pairwise_iou, xywh_to_ltrb

# RetinaNet does not scale its box deltas.
_UNIT_VARIANCES = (1, 1, 1, 1)


# What stands in place of an object's index in a match. The codes of `cls_targets` are others.
BACKGROUND, LEFT_OUT = -1, -2


class SSDTargetEncoder:
    """SSD's assignment and encoding of a whole batch in NumPy, for the threads of the input pipeline.

    ``anchors`` are the default boxes, (A, 4) float32 xywh in fractions of the image. ``iou_threshold`` is the
    IoU above which a default box takes an object. ``variances`` are the divisors of the four box deltas.
    """

    def __init__(
        self, anchors: np.ndarray, iou_threshold: float = 0.5, variances: Sequence[float] = SSD_VARIANCES
    ) -> None:
        self.anchors = np.asarray(anchors, dtype=np.float32)
        self.iou_threshold = iou_threshold
        self.variances = tuple(variances)
        self._anchors_ltrb = xywh_to_ltrb(self.anchors)

    def match(self, boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Returns (B, A) int64, the row of the object that each default box takes, or -1 for background."""
        # Padding rows keep an IoU of -1, which loses against every object.
        valid = labels >= 0
        if not valid.any():
            return np.full((len(labels), len(self.anchors)), BACKGROUND)
        iou = np.full(labels.shape + (len(self.anchors),), -1, dtype=np.float32)
        iou[valid] = pairwise_iou(boxes[valid], self._anchors_ltrb)
        matched = iou.argmax(axis=1)
        best = np.take_along_axis(iou, matched[:, None], axis=1)[:, 0]
        matched[best <= self.iou_threshold] = -1
        image, row = np.nonzero(valid)
        # Rows are in order, and of repeated positions NumPy keeps the last, so the later object wins.
        matched[image, iou[valid].argmax(axis=1)] = row
        return matched

    def __call__(self, boxes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns ``cls_targets`` (B, A) float32 and ``box_targets`` (B, A, 4) float32 of a batch."""
        return _dense_targets(self.match(boxes, labels), boxes, labels, self.anchors, self.variances)


# So many objects are compared with all anchors at once, which bounds the memory for crowded images.
_CHUNK = 16


class RetinaTargetEncoder:
    """RetinaNet's assignment and encoding of a whole batch in NumPy.

    ``anchors`` are (A, 4) float32 ltrb in pixels of an input of ``input_size`` (height, width); the objects
    are still given in fractions of the image. An anchor is foreground from an IoU of ``foreground_iou`` on,
    and background below ``background_iou``.
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
        """Returns (A,) int64, which of ``boxes`` (n, 4), ltrb in pixels, each anchor takes.

        It is -1 for an anchor that is background and -2 for one that is left out.
        """
        best = np.full(len(self.anchors), -1, dtype=np.float32)
        index = np.zeros(len(self.anchors), dtype=np.int64)
        claimed = np.zeros(len(self.anchors), dtype=np.bool_)
        for start in range(0, len(boxes), _CHUNK):
            iou = pairwise_iou(boxes[start : start + _CHUNK], self.anchors)
            chunk_best = iou.max(axis=0)
            # Of objects with equal IoU the first wins, in one chunk as across chunks.
            better = chunk_best > best
            index[better] = start + iou[:, better].argmax(axis=0)
            best[better] = chunk_best[better]
            # An object that touches no anchor claims none: nothing equals infinity.
            highest = iou.max(axis=1)
            claimed |= (iou == np.where(highest > 0, highest, np.inf)[:, None]).any(axis=0)
        matched = np.where(best < self.background_iou, BACKGROUND, LEFT_OUT)
        foreground = claimed | (best >= self.foreground_iou)
        matched[foreground] = index[foreground]
        return matched

    def __call__(self, boxes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns ``cls_targets`` (B, A) float32 and ``box_targets`` (B, A, 4) float32 of a batch."""
        height, width = self.input_size
        pixels = boxes * np.array([width, height, width, height], dtype=np.float32)
        matched = np.empty((len(boxes), len(self.anchors)), dtype=np.int64)
        for image in range(len(boxes)):
            valid = np.flatnonzero(labels[image] >= 0)
            matched[image] = self.match(pixels[image, valid])
            positive = matched[image] >= 0
            # `match` saw the objects without padding; this turns its numbers into rows of `boxes`.
            matched[image, positive] = valid[matched[image, positive]]
        return _dense_targets(matched, pixels, labels, self._anchors_xywh, _UNIT_VARIANCES)


def _dense_targets(
    matched: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    anchors: np.ndarray,
    variances: Sequence[float],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns ``cls_targets`` and ``box_targets`` for the rows ``matched`` (B, A) that the anchors take.

    ``boxes`` (B, M, 4) ltrb and ``anchors`` (A, 4) xywh have the same unit.
    """
    cls_targets = np.where(matched == LEFT_OUT, -1, 0).astype(np.float32)
    box_targets = np.zeros(matched.shape + (4,), dtype=np.float32)
    image, anchor = np.nonzero(matched >= 0)
    row = matched[image, anchor]
    cls_targets[image, anchor] = labels[image, row] + 1
    box_targets[image, anchor] = encode(ltrb_to_xywh(boxes[image, row]), anchors[anchor], variances)
    return cls_targets, box_targets
