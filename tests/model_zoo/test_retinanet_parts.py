"""Anchors, assignment, loss and post-processing of RetinaNet against the reference's numbers."""

from __future__ import annotations

import zlib

import mxnet as mx
import numpy as np
import pytest
from golden import load_golden, seeded, seeded_weights

from gluon_ssd import get_model
from gluon_ssd.anchors import RetinaAnchors
from gluon_ssd.convert import load_torch_state
from gluon_ssd.losses import RetinaLoss
from gluon_ssd.postprocess import RetinaPostprocess
from gluon_ssd.targets import RetinaTargetEncoder

pytestmark = pytest.mark.once

ANCHORS = RetinaAnchors()
SIZE = (256, 256)


@pytest.fixture(scope="module")
def reference():
    return load_golden("retinanet_loss")


@pytest.fixture(scope="module")
def objects(reference):
    """The three images' objects as the loader gives them: fractions, padded."""
    boxes, labels = np.zeros((3, 6, 4), np.float32), np.full((3, 6), -1, np.int32)
    for image in range(3):
        count = len(reference[f"labels{image}"])
        boxes[image, :count] = reference[f"boxes{image}"] / 256
        labels[image, :count] = reference[f"labels{image}"]
    return boxes, labels


@pytest.fixture(scope="module")
def targets(objects):
    return RetinaTargetEncoder(ANCHORS.ltrb(*SIZE), SIZE)(*objects)


@pytest.mark.parametrize("size", [256, 800])
def test_anchors_bit_for_bit(size):
    golden = load_golden("retinanet_anchors")
    anchors = ANCHORS.ltrb(size, size)
    assert anchors.shape == (golden[f"a{size}_count"], 4)
    assert zlib.crc32(anchors.tobytes()) == golden[f"a{size}_crc32_f32"]
    assert (anchors[golden[f"a{size}_index"]] == golden[f"a{size}_anchor"]).all()
    assert [ANCHORS.cell(level).tolist() for level in range(5)] == golden["cell_anchors"].tolist()
    assert [rows for rows, _ in ANCHORS.map_sizes(size, size)] == golden[f"a{size}_level_hw"].tolist()


def test_anchors_of_torchvision():
    golden = load_golden("torchvision_retinanet_resnet50_outputs")
    assert (ANCHORS.ltrb(*SIZE) == golden["anchors_256"]).all()


def test_matches_are_the_references(reference):
    encoder = RetinaTargetEncoder(ANCHORS.ltrb(*SIZE), SIZE)
    for image in range(3):
        assert (encoder.match(reference[f"boxes{image}"]) == reference[f"matched{image}"]).all()


def test_targets_are_the_references(reference, targets):
    cls_targets, box_targets = targets
    for image in range(3):
        foreground = np.flatnonzero(cls_targets[image] > 0)
        assert (foreground == reference[f"fg_index{image}"]).all()
        deltas = reference[f"fg_target{image}"]
        np.testing.assert_allclose(box_targets[image, foreground], deltas, atol=1e-5)
        matched = reference[f"matched{image}"]
        assert ((cls_targets[image] == -1) == (matched == -2)).all()
        assert (cls_targets[image, foreground] - 1 == reference[f"labels{image}"][matched[foreground]]).all()
        assert not box_targets[image, cls_targets[image] <= 0].any()


def test_crowded_image_is_matched_as_one(objects):
    """More objects than are compared at once; the expectation is the rule written out over all of them."""
    random = np.random.RandomState(5)
    low = random.uniform(0, 180, (50, 2))
    boxes = np.concatenate([low, low + random.uniform(4, 70, (50, 2))], axis=1).astype(np.float32)
    from gluon_ssd.boxes import pairwise_iou

    anchors = ANCHORS.ltrb(*SIZE)
    iou = pairwise_iou(boxes, anchors)
    best, index = iou.max(axis=0), iou.argmax(axis=0)
    expected = np.where(best >= 0.5, index, np.where(best < 0.4, -1, -2))
    claimed = (iou == iou.max(axis=1, keepdims=True)).any(axis=0)
    expected[claimed] = index[claimed]
    assert (RetinaTargetEncoder(anchors, SIZE).match(boxes) == expected).all()


def test_box_without_area_claims_nothing():
    boxes = np.array([[10, 10, 10, 10]], dtype=np.float32)
    assert (RetinaTargetEncoder(ANCHORS.ltrb(*SIZE), SIZE).match(boxes) == -1).all()


def _losses(predictions, targets, hybridize=True):
    loss = RetinaLoss()
    loss.hybridize(hybridize)
    total, cls_loss, box_loss = (
        float(part.asscalar()) for part in loss(*map(mx.nd.array, predictions), *map(mx.nd.array, targets))
    )
    assert total == pytest.approx(cls_loss + box_loss, rel=1e-6, nan_ok=True)
    return cls_loss, box_loss


@pytest.mark.parametrize("hybridize", [False, True])
def test_loss_of_synthetic_predictions(reference, targets, hybridize):
    predictions = seeded.retina_loss_preds(int(reference["loss_synth_seed"]), 3, 12276)
    losses = _losses(predictions, targets, hybridize)
    np.testing.assert_allclose(losses, reference["loss_synth_batch64"], rtol=1e-5)
    for image in range(3):
        one = slice(image, image + 1)
        losses = _losses([array[one] for array in predictions], [array[one] for array in targets])
        np.testing.assert_allclose(losses, reference["loss_synth_single"][image], rtol=1e-5)


def test_loss_of_the_network(reference, targets):
    net = get_model("retinanet_resnext50_32x4d")
    load_torch_state(net, seeded_weights("retinanet_resnext50"))
    predictions = net(mx.nd.array(seeded.image_input(7, (1, 3, *SIZE))))
    losses = _losses([array.asnumpy() for array in predictions], [array[:1] for array in targets])
    np.testing.assert_allclose(losses, reference["loss_model_output64"], rtol=1e-4)


def test_focal_loss_element_by_element(reference):
    loss, logits = RetinaLoss(), mx.nd.array(reference["focal_logits"])
    for function, key in ((loss.negative, "focal_t0"), (loss.positive, "focal_t1")):
        np.testing.assert_allclose(function(mx.nd, logits).asnumpy(), reference[key], rtol=1e-5, atol=1e-12)


def test_nan_reaches_the_loss(targets):
    cls_preds, box_preds = seeded.retina_loss_preds(1, 1, 12276, 3)
    cls_preds[0, 5, 1] = np.nan
    cls_loss, _ = _losses((cls_preds, box_preds), [np.minimum(array[:1], 3) for array in targets])
    assert np.isnan(cls_loss)


@pytest.mark.parametrize("giou", [False, True])
def test_nan_of_a_background_box_reaches_the_loss(targets, giou):
    cls_preds, box_preds = seeded.retina_loss_preds(1, 1, 12276, 3)
    place = np.flatnonzero(targets[0][0] == 0)[0]
    box_preds[0, place, 2] = np.nan
    parts = [np.minimum(array[:1], 3) for array in targets]
    assert np.isnan(RetinaLoss(giou=giou)(*map(mx.nd.array, (cls_preds, box_preds, *parts)))[2].asscalar())


@pytest.mark.parametrize(("prefix", "candidates"), [("", 1000), ("topk50_", 50)])
@pytest.mark.parametrize("hybridize", [False, True])
def test_detections_are_the_references(prefix, candidates, hybridize):
    golden = load_golden("retinanet_detections")
    predictions = seeded.retina_detect_preds(int(golden["synth_seed"]), 12276)
    post = RetinaPostprocess(
        ANCHORS.ltrb(*SIZE), ANCHORS.level_counts(*SIZE), SIZE, classes=264, candidates=candidates
    )
    post.initialize()
    post.hybridize(hybridize)
    class_ids, scores, boxes = (array.asnumpy() for array in post(*map(mx.nd.array, predictions)))
    for image in range(2):
        count = len(golden[f"{prefix}labels{image}"])
        assert (class_ids[image] >= 0).sum() == count
        assert (class_ids[image, :count] == golden[f"{prefix}labels{image}"]).all()
        np.testing.assert_allclose(scores[image, :count], golden[f"{prefix}scores{image}"], atol=1e-5)
        np.testing.assert_allclose(boxes[image, :count] * 256, golden[f"{prefix}boxes{image}"], atol=1e-3)
        assert not scores[image, count:].any()


def test_parts_of_the_network_fit_together():
    """One object at the place of one anchor: what the encoder asks for is what the detector finds."""
    net = get_model("retinanet_resnet50", classes=["a", "b", "c"])
    size = (96, 160)
    boxes = np.array([[[0.25, 0.3, 0.5, 0.8]]], dtype=np.float32)
    cls_targets, box_targets = net.target_encoder(size)(boxes, np.array([[2]]))
    one_hot = cls_targets[..., None] == np.arange(1, 4)
    post = net.postprocess(size, max_detections=5)
    post.initialize()
    class_ids, scores, found = post(mx.nd.array(np.where(one_hot, 5.0, -20.0)), mx.nd.array(box_targets))
    assert class_ids.asnumpy()[0].tolist() == [2, -1, -1, -1, -1]
    np.testing.assert_allclose(found.asnumpy()[0, 0], boxes[0, 0], atol=1e-6)
