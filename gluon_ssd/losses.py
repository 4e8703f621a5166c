"""Training losses: from predictions and dense targets to one number per batch, and its parts."""

from __future__ import annotations

from typing import Any

from mxnet.gluon import HybridBlock

from .boxes import generalised_iou_in_graph


class MultiBoxLoss(HybridBlock):
    """The loss of SSD, with hard negative mining.

    It takes ``cls_preds`` (B, A, C + 1), logits with the background in channel 0; ``box_preds`` (B, A, 4),
    box deltas; ``cls_targets`` (B, A), 0 for background and class + 1 otherwise; and ``box_targets``
    (B, A, 4), box deltas. It returns three float32 arrays of shape (1,): the loss, its classification part
    and its box part. The loss is the sum of the parts.

    The loss of an image with P positives is smooth L1, summed over their coordinates, plus cross entropy,
    summed over the positives and the ``negative_ratio`` x P negatives of highest cross entropy, all divided
    by P. An image without positives has loss 0. The loss of the batch is the mean over all its images, those
    of loss 0 included. Source: Liu et al., "SSD: Single Shot MultiBox Detector" (2016), section 2.2, as
    normalised by MLPerf's reference.
    """

    part_names = ("cls_loss", "box_loss")

    def __init__(self, negative_ratio: float = 3.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._negative_ratio = negative_ratio

    def hybrid_forward(
        self, F: Any, cls_preds: Any, box_preds: Any, cls_targets: Any, box_targets: Any
    ) -> tuple[Any, Any, Any]:
        cls_preds = F.amp_cast(cls_preds, dtype="float32")
        box_preds = F.amp_cast(box_preds, dtype="float32")
        cross_entropy = -F.pick(F.log_softmax(cls_preds, axis=-1), cls_targets, axis=-1)
        positive = cls_targets > 0
        count = F.sum(positive, axis=1)
        # The choice of negatives gets no gradient; only the cross entropy of the chosen ones does.
        weights = positive + self._hard_negatives(F, F.BlockGrad(cross_entropy), positive, count)

        distance = F.sum(F.smooth_l1(box_preds - box_targets, scalar=1.0), axis=2)
        scale = (count > 0) / F.maximum(count, 1)
        # Multiplied, not selected, so that a NaN anywhere in the predictions reaches the loss.
        cls_loss = F.mean(F.sum(cross_entropy * weights, axis=1) * scale)
        box_loss = F.mean(F.sum(distance * positive, axis=1) * scale)
        return cls_loss + box_loss, cls_loss, box_loss

    def _hard_negatives(self, F: Any, cross_entropy: Any, positive: Any, count: Any) -> Any:
        """Returns weights (B, A) that pick the hardest negatives of each image.

        A sort gives the cross entropy of the last negative that is picked. Negatives above it have weight 1;
        those equal to it share the places that are left, so that the weights of an image add up to the number
        of negatives that it should have. The others have weight 0.
        """
        # The weights of equal negatives do not depend on the order in which a device happens to sort them.
        negative = 1 - positive
        wanted = F.expand_dims(F.minimum(count * self._negative_ratio, F.sum(negative, axis=1)), 1)
        # Positives get -1 and sort last, because cross entropy is never negative.
        hardness = cross_entropy * negative - positive
        ordered = F.sort(hardness, axis=1, is_ascend=False)
        limit = F.expand_dims(F.pick(ordered, F.relu(F.reshape(wanted, (-1,)) - 1), axis=1), 1)
        above = F.broadcast_greater(hardness, limit) * negative
        tied = F.broadcast_equal(hardness, limit) * negative
        places = F.broadcast_sub(wanted, F.sum(above, axis=1, keepdims=True))
        share = F.broadcast_div(places, F.maximum(F.sum(tied, axis=1, keepdims=True), 1))
        return F.broadcast_mul(above + F.broadcast_mul(tied, share), wanted > 0)


class RetinaLoss(HybridBlock):
    """The loss of RetinaNet: focal loss, and L1 or generalised IoU.

    It takes ``cls_preds`` (B, A, C), logits without a background; ``box_preds`` (B, A, 4), box deltas;
    ``cls_targets`` (B, A), class + 1 for foreground, 0 for background and -1 for anchors that are left out;
    and ``box_targets`` (B, A, 4), box deltas. It returns three float32 arrays of shape (1,): the loss, its
    classification part and its box part. The loss is the sum of the parts.

    The loss of an image is the sigmoid focal loss, summed over classes and all anchors that are not left out,
    plus the absolute error, summed over the deltas of the foreground, each divided by the number of
    foreground anchors (at least 1). The loss of the batch is the mean over its images. With ``giou`` the
    boxes are compared instead of their deltas, by 1 less their generalised IoU. Source: Lin et al., "Focal
    Loss for Dense Object Detection" (2017), section 3; plain L1 as in torchvision and MLPerf's reference,
    generalised IoU (Rezatofighi et al. 2019) as in torchvision's second version.
    """

    part_names = ("cls_loss", "box_loss")

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, giou: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._alpha, self._gamma, self._giou = alpha, gamma, giou

    def hybrid_forward(
        self, F: Any, cls_preds: Any, box_preds: Any, cls_targets: Any, box_targets: Any
    ) -> tuple[Any, Any, Any]:
        cls_preds = F.amp_cast(cls_preds, dtype="float32")
        box_preds = F.amp_cast(box_preds, dtype="float32")
        foreground = cls_targets > 0
        share = 1 / F.maximum(F.sum(foreground, axis=1), 1)
        if self._giou:
            distance = 1 - generalised_iou_in_graph(F, box_preds, box_targets)
        else:
            distance = F.sum(F.abs(box_preds - box_targets), axis=2)
        cls_loss = F.mean(F.sum(self.focal(F, cls_preds, cls_targets), axis=1) * share)
        box_loss = F.mean(F.sum(distance * foreground, axis=1) * share)
        return cls_loss + box_loss, cls_loss, box_loss

    def focal(self, F: Any, cls_preds: Any, cls_targets: Any) -> Any:
        """Returns the focal loss (B, A) of every anchor, summed over classes; 0 where it is left out."""
        foreground = cls_targets > 0
        # Every channel is first counted as a negative, and the foreground's own channel is then corrected. A
        # one-hot target would need more arrays of the size (B, A, C).
        negative = F.sum(self.negative(F, cls_preds), axis=2)
        own = F.pick(cls_preds, F.relu(cls_targets - 1), axis=2)
        correction = (self.positive(F, own) - self.negative(F, own)) * foreground
        return negative * (cls_targets >= 0) + correction

    def negative(self, F: Any, logits: Any) -> Any:
        """Returns the focal loss of each logit for the target 0, in the shape of ``logits``."""
        # softrelu(x) is -log(1 - sigmoid(x)), and stays finite where the sigmoid rounds to 1.
        weight = (1 - self._alpha) * self._power(F, F.sigmoid(logits))
        return weight * F.Activation(logits, act_type="softrelu")

    def positive(self, F: Any, logits: Any) -> Any:
        """Returns the focal loss of each logit for the target 1, in the shape of ``logits``."""
        weight = self._alpha * self._power(F, F.sigmoid(-logits))
        return weight * F.Activation(-logits, act_type="softrelu")

    def _power(self, F: Any, x: Any) -> Any:
        return F.square(x) if self._gamma == 2 else x**self._gamma
