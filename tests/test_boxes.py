import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from gluon_ssd import boxes


def test_formats_convert_into_each_other_by_hand():
    ltrb = np.array([[1.0, 2.0, 5.0, 10.0]])
    np.testing.assert_array_equal(boxes.ltrb_to_xywh(ltrb), [[3, 6, 4, 8]])
    np.testing.assert_array_equal(boxes.xywh_to_ltrb(np.array([[3.0, 6, 4, 8]])), ltrb)
    np.testing.assert_array_equal(boxes.ltrb_to_coco(ltrb), [[1, 2, 4, 8]])
    np.testing.assert_array_equal(boxes.coco_to_ltrb(np.array([[1.0, 2, 4, 8]])), ltrb)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([0, 0, 2, 2], 1.0),
        ([1, 1, 3, 3], 1 / 7),
        ([2, 0, 4, 2], 0.0),
        ([5, 5, 6, 6], 0.0),
        ([0, 0, 1, 1], 0.25),
        ([1, 1, 1, 1], 0.0),
    ],
)
def test_iou_by_hand(other, expected):
    iou = boxes.pairwise_iou(np.array([[0.0, 0, 2, 2]]), np.array([other], dtype=float))
    assert iou == pytest.approx(expected)


def test_iou_of_boxes_without_area_is_zero_not_nan():
    point = np.array([[1.0, 1, 1, 1]])
    assert boxes.pairwise_iou(point, point)[0, 0] == 0


def test_iou_agrees_with_pycocotools():
    from pycocotools import mask

    random = np.random.RandomState(0)
    first, second = random.uniform(0, 50, (2, 40, 4))
    first[:, 2:] += first[:, :2]
    second[:, 2:] += second[:, :2]
    theirs = mask.iou(boxes.ltrb_to_coco(first), boxes.ltrb_to_coco(second), np.zeros(40))
    np.testing.assert_allclose(boxes.pairwise_iou(first, second), theirs, atol=1e-12)


def test_codes_by_hand():
    code = boxes.encode(np.array([[0.5, 0.5, 0.4, 0.2]]), np.array([[0.4, 0.5, 0.2, 0.2]]))
    np.testing.assert_allclose(code, [[0.1 / 0.2 / 0.1, 0, np.log(2) / 0.2, 0]], atol=1e-12)


def test_decoding_undoes_encoding():
    random = np.random.RandomState(1)
    anchors = random.uniform(0.1, 0.9, (50, 4))
    targets = random.uniform(0.1, 0.9, (50, 4))
    decoded = boxes.decode(boxes.encode(targets, anchors), anchors)
    np.testing.assert_allclose(decoded, boxes.xywh_to_ltrb(targets), atol=1e-12)


def test_dtype_is_kept():
    single = np.ones((3, 4), np.float32)
    assert boxes.encode(single, single).dtype == np.float32
    assert boxes.decode(single, single).dtype == np.float32
    assert boxes.pairwise_iou(single, single).dtype == np.float32


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([0, 0, 10, 10], 1.0),
        ([5, 0, 15, 10], 1 / 3),
        ([0, 0, 5, 5], 0.25),
        ([5, 5, 15, 15], 25 / 175 - 50 / 225),
        ([20, 0, 30, 10], -1 / 3),
        ([10, 10, 20, 20], -0.5),
    ],
)
def test_generalised_iou_by_hand(other, expected):
    """Of a box with the one at 0 to 10; the anchor is no part of it, and no gradient is NaN."""
    pair = boxes.ltrb_to_xywh(np.array([[0, 0, 10, 10], other], np.float32))
    anchor = np.array([[3, 4, 8, 16]], np.float32)
    one, two = (mx.nd.array(boxes.encode(box, anchor, (1, 1, 1, 1))[None]) for box in pair)
    one.attach_grad()
    with autograd.record():
        found = boxes.generalised_iou_in_graph(mx.nd, one, two)
    found.backward()
    assert found.shape == (1, 1)
    assert found.asnumpy().item() == pytest.approx(expected, abs=1e-6)
    assert np.isfinite(one.grad.asnumpy()).all()
