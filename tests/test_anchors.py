import numpy as np
import pytest
from golden import load_golden, to_size_major

from gluon_ssd.anchors import SSD300_COCO, DefaultBoxes
from gluon_ssd.boxes import xywh_to_ltrb


def test_ssd300_default_boxes_are_the_references_bit_for_bit():
    golden = load_golden("default_boxes")
    ours = SSD300_COCO.xywh()
    assert ours.shape == (8732, 4)
    np.testing.assert_array_equal(to_size_major(ours), golden["xywh"])
    np.testing.assert_allclose(to_size_major(xywh_to_ltrb(ours)), golden["ltrb"], atol=1e-6)


def test_counts_of_the_reference():
    golden = load_golden("default_boxes")
    assert SSD300_COCO.map_sizes == tuple(golden["feature_sizes"])
    assert SSD300_COCO.per_cell == tuple(golden["boxes_per_cell"])


def test_one_cell_by_hand():
    spec = DefaultBoxes(image_size=100, map_sizes=(1,), steps=(100,), scales=(20, 45), ratios=((4,),))
    expected = [[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.3, 0.3], [0.5, 0.5, 0.4, 0.1], [0.5, 0.5, 0.1, 0.4]]
    np.testing.assert_allclose(spec.xywh(), expected, atol=1e-7)


def test_order_is_row_then_column_then_box():
    spec = DefaultBoxes(image_size=100, map_sizes=(2,), steps=(50,), scales=(20, 45), ratios=((),))
    centres = spec.xywh()[:, :2]
    expected = [[0.25, 0.25]] * 2 + [[0.75, 0.25]] * 2 + [[0.25, 0.75]] * 2 + [[0.75, 0.75]] * 2
    np.testing.assert_allclose(centres, expected)


def test_parts_that_do_not_fit_name_the_numbers():
    with pytest.raises(
        ValueError, match="2 feature maps need 2 steps, 2 ratio tuples and 3 scales, got 1, 2 and 3"
    ):
        DefaultBoxes(image_size=9, map_sizes=(2, 1), steps=(4,), scales=(1, 2, 3), ratios=((), ()))
