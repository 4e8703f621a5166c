"""The best anchor found by grid is the best of all anchors."""

import numpy as np
import pytest

from gluon_ssd.anchors import SSD300_COCO, RetinaAnchors
from gluon_ssd.boxes import pairwise_iou, xywh_to_ltrb
from gluon_ssd.data.check.anchors import best_iou, grids_of
from gluon_ssd.model_zoo.ssd_models import CONFIGS

GRIDS = grids_of(SSD300_COCO.ltrb(300, 300), (300, 300))


def some_boxes(count=300):
    rng = np.random.default_rng(0)
    size = np.exp(rng.uniform(np.log(0.005), 0, (count, 2)))
    corner = rng.random((count, 2)) * (1 - size)
    edges = [[0, 0, 1, 1], [0, 0, 0.02, 0.02], [0.98, 0.98, 1, 1], [0, 0.4, 1, 0.41]]
    return np.concatenate([corner, corner + size], axis=1).tolist() + edges


@pytest.mark.parametrize("name", ["ssd_resnet34", "ssd_tiny"])
def test_ssd(name):
    boxes, default = np.array(some_boxes()), CONFIGS[name].default_boxes
    size = default.image_size
    found = best_iou(boxes, grids_of(default.ltrb(size, size), (size, size)))
    expected = pairwise_iou(boxes, xywh_to_ltrb(default.xywh().astype(np.float64))).max(axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("size", [(256, 320), (300, 200)])
def test_retinanet(size):
    height, width = size
    boxes, anchors = np.array(some_boxes()), RetinaAnchors()
    pixels = anchors.ltrb(height, width).astype(np.float64) / [width, height, width, height]
    expected = pairwise_iou(boxes, pixels).max(axis=1)
    found = best_iou(boxes, grids_of(anchors.ltrb(height, width), size))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_default_box_itself_has_iou_one():
    box = xywh_to_ltrb(SSD300_COCO.xywh()[[100, 8000]])
    np.testing.assert_allclose(best_iou(box, GRIDS), 1, atol=1e-5)


def test_no_boxes():
    assert best_iou(np.zeros((0, 4), np.float32), GRIDS).shape == (0,)


def test_a_feature_map_is_one_grid_per_shape():
    # A few more: what is rounded to either side makes two grids.
    assert 4 + 6 + 6 + 6 + 4 + 4 <= len(GRIDS) < 40
    assert sum(len(grid.xs) * len(grid.ys) for grid in GRIDS) == 8732


def test_anchors_in_no_order_and_without_a_grid():
    random = np.random.RandomState(0)
    corner = random.uniform(0, 60, (200, 2))
    anchors = np.concatenate([corner, corner + random.choice([10, 25], (200, 2))], axis=1).astype(np.float32)
    boxes = np.array(some_boxes())
    expected = pairwise_iou(boxes, anchors.astype(np.float64) / [90, 80, 90, 80]).max(axis=1)
    np.testing.assert_allclose(best_iou(boxes, grids_of(anchors, (80, 90))), expected, atol=2e-5)
