"""From network outputs to detections: decode, threshold and top-k, then non-maximum suppression per class."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
from mxnet.gluon import HybridBlock

from .boxes import SSD_VARIANCES


class SSDPostprocess(HybridBlock):
    """Decoding and per-class NMS of SSD, as one part of the graph.

    Inputs: ``cls_preds`` (N, A, C + 1) logits, ``box_preds`` (N, A, 4) codes. Returns ``class_ids`` (N, D),
    ``scores`` (N, D), ``boxes`` (N, D, 4) ltrb fractions of the image, not clipped, in order of falling
    score; rows beyond an image's detections have class -1 and score 0. D is ``max_detections``.

    Scores are softmax probabilities. Of the (box, class) pairs above ``score_threshold`` the best
    ``candidates`` over all classes go on, of these the best ``per_class`` of every class; a box goes when
    its IoU with a better one of its class reaches ``iou_threshold``; the best ``max_detections`` remain.
    The result differs from running every class alone only for an image with more than ``candidates`` pairs
    above the threshold, and then in its weakest detections. Source: Liu et al., "SSD: Single Shot MultiBox
    Detector" (2016), section 3.1, with the settings of MLPerf's reference.
    """

    def __init__(
        self,
        anchors: np.ndarray,
        classes: int,
        *,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        max_detections: int = 200,
        candidates: int = 1000,
        per_class: int = 200,
        variances: Sequence[float] = SSD_VARIANCES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._classes = classes
        self._score_threshold = score_threshold
        self._iou_threshold = iou_threshold
        self._candidates = min(candidates, len(anchors) * classes)
        self._max_detections = min(max_detections, self._candidates)
        self._per_class = per_class
        self._variances = tuple(variances)
        with self.name_scope():
            self.anchors = self.params.get_constant("anchors", np.asarray(anchors, dtype=np.float32)[None])

    def hybrid_forward(self, F: Any, cls_preds: Any, box_preds: Any, anchors: Any) -> tuple[Any, Any, Any]:
        scores, class_ids, index = self._best_pairs(F, F.cast(cls_preds, dtype="float32"))
        codes = F.gather_nd(F.cast(box_preds, dtype="float32"), index)
        anchors = F.gather_nd(F.broadcast_like(anchors, box_preds, lhs_axes=(0,), rhs_axes=(0,)), index)
        centre = self._columns(F, codes, 0, 2, self._variances[:2]) * self._columns(F, anchors, 2, 4)
        centre = centre + self._columns(F, anchors, 0, 2)
        log_size = self._columns(F, codes, 2, 4, self._variances[2:]) + F.log(self._columns(F, anchors, 2, 4))
        one_hot = F.one_hot(class_ids + 1, depth=self._classes + 1)
        if self._per_class < self._candidates:
            rank = F.sum(F.cumsum(one_hot, axis=1) * one_hot, axis=2)
            scores = scores * (rank <= self._per_class)
        return self._suppress(F, one_hot, scores, centre, log_size)

    def _best_pairs(self, F: Any, cls_preds: Any) -> tuple[Any, Any, Any]:
        """Scores and class indices (N, K) of the best pairs, and their places in (N, A) as (2, N, K)."""
        scores = F.slice_axis(F.softmax(cls_preds, axis=-1), axis=2, begin=1, end=None)
        scores = F.reshape(scores, (0, -1))
        # Zeros below the threshold make the selection cheap: there is little left to order.
        scores = scores * (scores > self._score_threshold)
        best, place = F.topk(scores, k=self._candidates, axis=1, ret_typ="both", dtype="float32")
        anchor = F.floor(place / self._classes)
        image = F.broadcast_like(F.reshape(F.contrib.arange_like(best, axis=0), (-1, 1)), best)
        return best, place - anchor * self._classes, F.stack(image, anchor, axis=0)

    def _columns(self, F: Any, boxes: Any, begin: int, end: int, factors: Sequence[float] = ()) -> Any:
        parts = F.slice_axis(boxes, axis=2, begin=begin, end=end)
        if not factors:
            return parts
        if len(set(factors)) == 1:
            return parts * factors[0]
        pieces = F.split(parts, len(factors), axis=2)
        return F.concat(*[piece * factor for piece, factor in zip(pieces, factors)], dim=2)

    def _suppress(
        self, F: Any, one_hot: Any, scores: Any, centre: Any, log_size: Any
    ) -> tuple[Any, Any, Any]:
        """Greedy NMS inside each class and the best detections of what is left.

        MultiBoxDetection is MXNet's only NMS whose CPU cost depends on the boxes that pass the threshold
        rather than on all places; against an anchor that is the whole image it decodes our boxes unchanged.
        """
        probabilities = F.transpose(F.broadcast_mul(one_hot, F.expand_dims(scores, 2)), (0, 2, 1))
        location = F.reshape(F.concat(centre - 0.5, log_size, dim=2), (0, -1))
        corner = F.zeros((1, self._candidates, 2))
        whole_image = F.concat(corner, corner + 1, dim=2)
        found = F.contrib.MultiBoxDetection(
            probabilities,
            location,
            whole_image,
            clip=False,
            threshold=self._score_threshold,
            nms_threshold=self._iou_threshold,
            variances=(1, 1, 1, 1),
        )
        kept = F.reshape(F.slice_axis(found, axis=2, begin=0, end=1), (0, -1)) >= 0
        scores = F.reshape(F.slice_axis(found, axis=2, begin=1, end=2), (0, -1)) * kept
        order = F.topk(scores, k=self._max_detections, axis=1, dtype="float32")
        image = F.broadcast_like(F.reshape(F.contrib.arange_like(order, axis=0), (-1, 1)), order)
        rows = F.gather_nd(found, F.stack(image, order, axis=0))
        class_ids = F.reshape(F.slice_axis(rows, axis=2, begin=0, end=1), (0, -1))
        best = F.reshape(F.slice_axis(rows, axis=2, begin=1, end=2), (0, -1))
        return class_ids, best * (class_ids >= 0), F.slice_axis(rows, axis=2, begin=2, end=6)
