"""From network outputs to detections: threshold and top-k, decoding, then non-maximum suppression per class.

Both families choose candidates before anything else, because NMS over all pairs of anchor and class costs as
much as the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mxnet.gluon import HybridBlock

from .boxes import SSD_VARIANCES, decode_corners_in_graph, decode_in_graph
from .nn.initializers import Values


def _constant(block: HybridBlock, name: str, values: np.ndarray) -> Any:
    """Returns a parameter of ``block`` that has these values and is not trained."""
    return block.params.get(name, shape=values.shape, init=Values(values), grad_req="null")


class SSDPostprocess(HybridBlock):
    """Decoding and per-class NMS of SSD, as one part of the graph.

    It takes ``cls_preds`` (N, A, C + 1), logits with the background in channel 0, and ``box_preds``
    (N, A, 4), box deltas. It returns ``class_ids`` (N, D), ``scores`` (N, D) and ``boxes`` (N, D, 4), ltrb in
    fractions of the image, all float32 and in the order of falling score. Rows beyond the
    detections of an image have class -1 and score 0. D is ``max_detections``, or the number of candidates
    where that is smaller. ``anchors`` are (A, 4) float32 xywh in fractions of the image; ``classes`` is C.

    Where ``clip`` is set, boxes are cut off at the edges of the image before they are compared, and nowhere
    otherwise.

    Scores are softmax probabilities. Of the pairs of box and class above ``score_threshold`` the best
    ``candidates`` over all classes are kept, and of these the best ``per_class`` of every class. A box is
    dropped when its IoU with a better one of its class reaches ``iou_threshold``, and the best
    ``max_detections`` of the others are returned. The result differs from that of running every class alone
    only for an image with more than ``candidates`` pairs above the threshold, and then in its weakest
    detections. Source: Liu et al., "SSD: Single Shot MultiBox Detector" (2016), section 3.1, with the
    settings of MLPerf's reference.
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
        clip: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._classes, self._clip = classes, clip
        self._score_threshold = score_threshold
        self._iou_threshold = iou_threshold
        self._candidates = min(candidates, len(anchors) * classes)
        self._anchors = min(candidates, len(anchors))
        self._max_detections = min(max_detections, self._candidates)
        self._per_class = per_class
        self._variances = tuple(variances)
        with self.name_scope():
            self.anchors = _constant(self, "anchors", np.asarray(anchors, dtype=np.float32)[None])

    def hybrid_forward(self, F: Any, cls_preds: Any, box_preds: Any, anchors: Any) -> tuple[Any, Any, Any]:
        # Only the boxes of the chosen pairs are decoded.
        scores, class_ids, index = self._best_pairs(F, F.amp_cast(cls_preds, dtype="float32"))
        deltas = F.gather_nd(F.amp_cast(box_preds, dtype="float32"), index)
        anchors = F.gather_nd(F.broadcast_like(anchors, box_preds, lhs_axes=(0,), rhs_axes=(0,)), index)
        centre, log_size = decode_in_graph(F, deltas, anchors, self._variances)
        if self._clip:
            half = F.exp(log_size) / 2
            centre, log_size = _inside(F, centre - half, centre + half)
        # Channel 0 is the background that MXNet's NMS expects; no pair has it.
        one_hot = F.one_hot(class_ids + 1, depth=self._classes + 1)
        if self._per_class < self._candidates:
            # Pairs are in the order of falling score, so counting those of a class gives each its rank.
            rank = F.sum(F.cumsum(one_hot, axis=1) * one_hot, axis=2)
            scores = scores * (rank <= self._per_class)
        limits = (self._score_threshold, self._iou_threshold, self._max_detections)
        return _suppress(F, one_hot, scores, centre, log_size, *limits)

    def _best_pairs(self, F: Any, cls_preds: Any) -> tuple[Any, Any, Any]:
        """Returns scores and class indices (N, K) of the best pairs, and their places in (N, A) as (2, N, K).

        The pairs are in the order of falling score.
        """
        scores = F.slice_axis(F.softmax(cls_preds, axis=-1), axis=2, begin=1, end=None)
        limits = (self._score_threshold, self._anchors, self._candidates, self._classes)
        best, class_ids, anchor = _best_pairs(F, scores, lambda chosen: chosen, *limits)
        return best, class_ids, _batch_index(F, anchor)


class RetinaPostprocess(HybridBlock):
    """Decoding and per-class NMS of RetinaNet, as one part of the graph.

    It takes ``cls_preds`` (N, A, C), logits without a background, and ``box_preds`` (N, A, 4), box deltas. It
    returns ``class_ids`` (N, D), ``scores`` (N, D) and ``boxes`` (N, D, 4), ltrb in fractions of the image,
    all float32 and in the order of falling score. Rows beyond the detections of an image have class -1 and
    score 0. D is ``max_detections``, or the number of candidates where that is smaller. ``anchors`` are
    (A, 4) float32 ltrb in pixels of an input of ``input_size`` (height, width), ``level_counts`` says how
    many of them each level has, and ``classes`` is C.

    Scores are sigmoids. Of the pairs of anchor and class above ``score_threshold`` the best ``candidates`` of
    each level are kept, and their boxes are clipped to the image. A box is dropped when its IoU with a better
    one of its class exceeds ``iou_threshold``, and the best ``max_detections`` of the others are returned.
    Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), section 4.1, with the settings of
    MLPerf's reference.
    """

    def __init__(
        self,
        anchors: np.ndarray,
        level_counts: Sequence[int],
        input_size: tuple[int, int],
        classes: int,
        *,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        max_detections: int = 300,
        candidates: int = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._level_counts = tuple(level_counts)
        self._classes = classes
        self._score_threshold = score_threshold
        # MultiBoxDetection drops a box whose IoU reaches the threshold. In the references one exactly at the
        # threshold stays, so the next larger number is given.
        self._iou_threshold = float(np.nextafter(np.float32(iou_threshold), np.float32(2)))
        self._candidates = candidates
        total = sum(min(candidates, count * classes) for count in self._level_counts)
        self._max_detections = min(max_detections, total)
        scale = 1 / np.array(input_size[::-1], dtype=np.float32)
        with self.name_scope():
            self.anchors = _constant(self, "anchors", np.asarray(anchors, dtype=np.float32)[None])
            self.scale = _constant(self, "scale", scale.reshape(1, 1, 2))

    def hybrid_forward(
        self, F: Any, cls_preds: Any, box_preds: Any, anchors: Any, scale: Any
    ) -> tuple[Any, Any, Any]:
        parts, start = [], 0
        for count in self._level_counts:
            parts.append(self._level(F, cls_preds, start, start + count))
            start += count
        scores, class_ids, place = (F.concat(*arrays, dim=1) for arrays in zip(*parts))
        index = _batch_index(F, place)
        anchors = F.broadcast_like(anchors, box_preds, lhs_axes=(0,), rhs_axes=(0,))
        deltas = F.gather_nd(F.amp_cast(box_preds, dtype="float32"), index)
        corners = decode_corners_in_graph(F, deltas, F.gather_nd(anchors, index))
        centre, log_size = _inside(F, *(F.broadcast_mul(corner, scale) for corner in corners))
        one_hot = F.one_hot(class_ids + 1, depth=self._classes + 1)
        limits = (self._score_threshold, self._iou_threshold, self._max_detections)
        return _suppress(F, one_hot, scores, centre, log_size, *limits)

    def _level(self, F: Any, cls_preds: Any, start: int, stop: int) -> tuple[Any, Any, Any]:
        """Returns scores, class indices and places of the anchors, each (N, K), of the best pairs of a level.

        ``start`` and ``stop`` bound the anchors of the level.
        """
        logits = F.amp_cast(F.slice_axis(cls_preds, axis=1, begin=start, end=stop), dtype="float32")
        anchors, pairs = (min(self._candidates, (stop - start) * size) for size in (1, self._classes))
        limits = (self._score_threshold, anchors, pairs, self._classes)
        scores, class_ids, place = _best_pairs(F, logits, F.sigmoid, *limits)
        return scores, class_ids, place + start


def _best_pairs(
    F: Any, values: Any, to_scores: Any, score_threshold: float, anchors: int, pairs: int, classes: int
) -> tuple[Any, Any, Any]:
    """Returns scores, class indices and anchors, each (N, ``pairs``), of the best pairs, by falling score.

    ``values`` (N, A, C) are in the order of the scores that ``to_scores`` makes of them; a score that does
    not exceed the threshold is 0. The pairs belong to ``anchors`` anchors at most.
    """
    # The best K pairs belong to K anchors or fewer, those of the highest value. Choosing the anchors first
    # reads most values only once, and keeps the numbers of pairs small enough to be exact in float32.
    chosen = F.topk(F.max(values, axis=2), k=anchors, axis=1, dtype="float32")
    scores = F.reshape(to_scores(F.gather_nd(values, _batch_index(F, chosen))), (0, -1))
    # With zeros below the threshold there is little to order, which makes the selection cheap.
    scores = scores * (scores > score_threshold)
    scores, pair = F.topk(scores, k=pairs, axis=1, ret_typ="both", dtype="float32")
    row = F.floor(pair / classes)
    return scores, pair - row * classes, F.gather_nd(chosen, _batch_index(F, row))


def _inside(F: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """Centre and logarithm of the size of boxes that are cut off at the edges; corners are fractions."""
    low, high = (F.clip(corner, a_min=0, a_max=1) for corner in (low, high))
    # Outside the image a clipped box has no size left; it only has to stay finite.
    return (low + high) / 2, F.log(F.maximum(high - low, 1e-12))


def _suppress(
    F: Any,
    one_hot: Any,
    scores: Any,
    centre: Any,
    log_size: Any,
    score_threshold: float,
    iou_threshold: float,
    max_detections: int,
) -> tuple[Any, Any, Any]:
    """Returns the best detections that greedy NMS inside each class leaves, as the blocks above return them.

    ``one_hot`` (N, K, C + 1) is the class of each pair, with the background in channel 0. ``scores`` are
    (N, K); ``centre`` and ``log_size`` are (N, K, 2), in fractions of the image.
    """
    # MultiBoxDetection is MXNet's only NMS whose cost on a CPU depends on the boxes that pass the threshold
    # and not on all of them. It decodes deltas; against an anchor that is the whole image, (0.5, 0.5, 1, 1),
    # the deltas of a box are its own centre less 0.5 and the logarithms of its size.
    probabilities = F.transpose(F.broadcast_mul(one_hot, F.expand_dims(scores, 2)), (0, 2, 1))
    location = F.reshape(F.concat(centre - 0.5, log_size, dim=2), (0, -1))
    corner = F.zeros_like(F.slice_axis(log_size, axis=0, begin=0, end=1))
    whole_image = F.concat(corner, corner + 1, dim=2)
    found = F.contrib.MultiBoxDetection(
        probabilities,
        location,
        whole_image,
        clip=False,
        # Pairs that were sorted out have the score 0, which a threshold of 0 would let through.
        threshold=max(score_threshold, 1e-30),
        nms_threshold=iou_threshold,
        variances=(1, 1, 1, 1),
    )
    # A dropped box has class -1 and keeps its score, which must not come among the best.
    kept = F.reshape(F.slice_axis(found, axis=2, begin=0, end=1), (0, -1)) >= 0
    scores = F.reshape(F.slice_axis(found, axis=2, begin=1, end=2), (0, -1)) * kept
    order = F.topk(scores, k=max_detections, axis=1, dtype="float32")
    rows = F.gather_nd(found, _batch_index(F, order))
    class_ids = F.reshape(F.slice_axis(rows, axis=2, begin=0, end=1), (0, -1))
    best = F.reshape(F.slice_axis(rows, axis=2, begin=1, end=2), (0, -1))
    return class_ids, best * (class_ids >= 0), F.slice_axis(rows, axis=2, begin=2, end=6)


def _batch_index(F: Any, place: Any) -> Any:
    """Returns the index (2, N, K) that gather_nd takes, for places (N, K) in each image."""
    # The numbers of the images come from the array itself, so that a graph fits every batch size.
    image = F.reshape(F.contrib.arange_like(place, axis=0), (-1, 1))
    return F.stack(F.broadcast_like(image, place), place, axis=0)
