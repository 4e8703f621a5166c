import numpy as np
import pytest
from golden import load_golden, padded, to_size_major

from gluon_ssd.anchors import SSD300_COCO
from gluon_ssd.targets import SSDTargetEncoder

ENCODER = SSDTargetEncoder(SSD300_COCO.xywh())


@pytest.fixture(scope="module")
def reference():
    golden = load_golden("ssd_encode_loss")
    return golden, padded([(golden[f"gt_boxes{i}"], golden[f"gt_labels{i}"]) for i in range(6)])


def test_assignment_and_codes_are_the_references(reference):
    golden, (boxes, labels) = reference
    cls_targets, box_targets = ENCODER(boxes, labels)
    for image in range(6):
        classes = to_size_major(cls_targets[image])
        positive = np.flatnonzero(classes)
        np.testing.assert_array_equal(positive, golden[f"pos_index{image}"])
        np.testing.assert_array_equal(classes[positive], golden[f"pos_label{image}"])
        deltas = to_size_major(box_targets[image])
        np.testing.assert_allclose(deltas[positive], golden[f"pos_target{image}"], atol=1e-5)
        deltas[positive] = 0
        assert not deltas.any(), "boxes without an object have no delta"


@pytest.mark.parametrize("objects", [0, 1])
def test_an_image_without_objects_is_all_background(objects):
    cls_targets, box_targets = ENCODER(np.zeros((1, objects, 4), np.float32), np.full((1, objects), -1))
    assert cls_targets.shape == (1, 8732)
    assert not cls_targets.any() and not box_targets.any()
    assert np.isfinite(box_targets).all()


def test_of_two_objects_with_one_best_box_the_later_gets_it():
    golden = load_golden("ssd_encode_loss")
    boxes, labels = padded([(golden["twin_boxes"], golden["twin_labels"])])
    classes = to_size_major(ENCODER(boxes, labels)[0][0])
    np.testing.assert_array_equal(np.flatnonzero(classes), golden["twin_pos_index"])
    np.testing.assert_array_equal(classes[classes > 0], golden["twin_pos_label"])


def test_padding_does_not_change_the_targets(reference):
    _, (boxes, labels) = reference
    wide = np.zeros((6, 33, 4), np.float32), np.full((6, 33), -1)
    wide[0][:, :20], wide[1][:, :20] = boxes, labels
    for ours, theirs in zip(ENCODER(*wide), ENCODER(boxes, labels)):
        np.testing.assert_array_equal(ours, theirs)


def test_a_tiny_object_still_gets_its_best_box():
    boxes = np.array([[[0.5, 0.5, 0.5 + 1 / 300, 0.5 + 1 / 300]]], np.float32)
    cls_targets, box_targets = ENCODER(boxes, np.array([[4]]))
    assert (cls_targets > 0).sum() == 1 and cls_targets.max() == 5
    assert np.isfinite(box_targets).all()
