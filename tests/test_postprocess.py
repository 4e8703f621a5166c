import mxnet as mx
import numpy as np
import pytest
from golden import load_golden, permutation, seeded

from gluon_ssd.anchors import SSD300_COCO
from gluon_ssd.boxes import decode, pairwise_iou
from gluon_ssd.postprocess import RetinaPostprocess, SSDPostprocess

ANCHORS = SSD300_COCO.xywh()


def detect(cls_preds, box_preds, anchors=ANCHORS, hybridize=False, **settings):
    block = SSDPostprocess(anchors, cls_preds.shape[-1] - 1, **settings)
    block.initialize()
    block.hybridize(hybridize)
    return [array.asnumpy() for array in block(mx.nd.array(cls_preds), mx.nd.array(box_preds))]


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize(("prefix", "most"), [("", 200), ("max400_", 400)])
def test_detections_are_the_references(prefix, most, hybridize):
    golden = load_golden("ssd_decode")
    deltas, logits = seeded.ssd_decode_preds(int(golden["pred_seed"]))
    order = permutation()
    class_ids, scores, boxes = detect(
        logits.transpose(0, 2, 1)[:, order],
        deltas.transpose(0, 2, 1)[:, order],
        max_detections=most,
        hybridize=hybridize,
    )
    for image in range(2):
        labels = golden[f"{prefix}labels{image}"]
        found = slice(len(labels) - 1, None, -1)
        assert (class_ids[image] >= 0).sum() == len(labels)
        np.testing.assert_array_equal(class_ids[image][found] + 1, labels)
        np.testing.assert_allclose(scores[image][found], golden[f"{prefix}scores{image}"], atol=1e-5)
        np.testing.assert_allclose(boxes[image][found], golden[f"{prefix}boxes{image}"], atol=1e-6)


def plain(logits, deltas, anchors, score_threshold, iou_threshold, most):
    """One image, class by class, box by box."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = exponentials / exponentials.sum(axis=1, keepdims=True)
    boxes, found = decode(deltas, anchors), []
    for label in range(1, logits.shape[1]):
        kept = []
        for index in np.argsort(-scores[:, label], kind="stable"):
            if scores[index, label] <= score_threshold:
                break
            if all(pairwise_iou(boxes[[index]], boxes[[other]])[0, 0] < iou_threshold for other in kept):
                kept.append(index)
        found += [(scores[index, label], label - 1, *boxes[index]) for index in kept]
    return np.array(sorted(found, reverse=True)[:most])


@pytest.mark.parametrize("iou_threshold", [0.3, 0.5, 0.7])
def test_random_predictions_equal_a_plain_implementation(iou_threshold):
    random = np.random.RandomState(int(iou_threshold * 10))
    anchors = np.concatenate([random.uniform(0.2, 0.8, (60, 2)), random.uniform(0.1, 0.4, (60, 2))], 1)
    anchors = anchors.astype(np.float32)
    logits = random.normal(0, 2, (2, 60, 5)).astype(np.float32)
    deltas = random.normal(0, 1, (2, 60, 4)).astype(np.float32)
    settings = {"score_threshold": 0.05, "iou_threshold": iou_threshold}
    class_ids, scores, boxes = detect(logits, deltas, anchors, max_detections=50, **settings)
    for image in range(2):
        expected = plain(logits[image], deltas[image], anchors, 0.05, iou_threshold, 50)
        count = len(expected)
        np.testing.assert_array_equal(class_ids[image][:count], expected[:, 1])
        np.testing.assert_allclose(scores[image][:count], expected[:, 0], atol=1e-6)
        np.testing.assert_allclose(boxes[image][:count], expected[:, 2:], atol=1e-5)
        assert (class_ids[image][count:] == -1).all() and not scores[image][count:].any()


def test_nothing_above_the_threshold_is_no_detection():
    class_ids, scores, boxes = detect(np.zeros((1, 8732, 81)), np.zeros((1, 8732, 4)))
    assert class_ids.shape == (1, 200) and boxes.shape == (1, 200, 4)
    assert (class_ids == -1).all() and not scores.any()


def test_a_threshold_of_0_lets_no_pair_through_that_was_sorted_out():
    """Of a saturated network most pairs have a score that is 0 in float32."""
    logits = np.full((1, 8732, 4), -200.0)
    logits[..., 0] = 0
    logits[0, :7, 2] = 3
    class_ids, scores, _ = detect(logits, np.zeros((1, 8732, 4)), score_threshold=0)
    assert (scores[class_ids >= 0] > 0).all()
    assert set(class_ids[0].tolist()) == {-1, 1}


def test_fewer_places_than_detections_asked_for():
    class_ids, _, _ = detect(np.zeros((1, 3, 2)), np.zeros((1, 3, 4)), ANCHORS[:3])
    assert class_ids.shape == (1, 3)


def test_the_image_a_box_belongs_to_does_not_matter():
    random = np.random.RandomState(5)
    logits, deltas = random.normal(0, 3, (3, 8732, 3)), random.normal(0, 1, (3, 8732, 4))
    together = detect(logits, deltas)
    for image in range(3):
        alone = detect(logits[image : image + 1], deltas[image : image + 1])
        for ours, theirs in zip(alone, together):
            np.testing.assert_array_equal(ours[0], theirs[image])


def test_nms_sees_the_best_candidates_of_all_classes():
    """As ssd_main.py: of 200 candidates over all classes, those after them are not looked at."""
    golden = load_golden("ssd_decode")
    deltas, logits = seeded.ssd_decode_preds(int(golden["pred_seed"]))
    order = permutation()
    logits, deltas = logits.transpose(0, 2, 1)[1:, order], deltas.transpose(0, 2, 1)[1:, order]
    scores = np.exp(logits - logits.max(2, keepdims=True))
    scores = (scores / scores.sum(2, keepdims=True))[0, :, 1:]
    last = np.sort(scores.ravel())[-200]
    assert (scores > 0.05).sum() > 200
    _, all_scores, _ = detect(logits, deltas)
    _, best_scores, _ = detect(logits, deltas, candidates=200)
    kept = all_scores[all_scores >= last - 1e-6]
    np.testing.assert_allclose(best_scores[best_scores > 0], kept, rtol=1e-5)
    assert 0 < len(kept) < (all_scores > 0).sum()


def test_blocks_that_are_gone_leave_nothing_in_mxnet():
    """Every evaluation makes one; MXNet's own constants would keep the anchors of each for ever."""

    def initializers():
        return set(mx.registry.get_registry(mx.init.Initializer))

    before = initializers()
    anchors = np.float32([[0.5, 0.5, 0.2, 0.2]])
    for block in (SSDPostprocess(anchors, 1), RetinaPostprocess(anchors, [1], (8, 8), 1)):
        block.initialize()
        assert block.anchors.data().asnumpy().tolist() == anchors[None].tolist()
    assert initializers() == before
