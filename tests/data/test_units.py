"""What the four numbers of a box look like, if not what they are read as."""

import numpy as np
import pytest

from gluon_ssd.data.units import corners, doubts

SIZE = (320, 200)


def looked_at(values, reading, origin=0):
    values = np.array(values, float)
    return doubts(values, np.tile(SIZE, (len(values), 1)), reading, origin)


@pytest.mark.parametrize(
    ("reading", "values"),
    [
        ("xywh", (200, 20, 100, 60)),
        ("xyxy", (200, 20, 300, 80)),
        ("cxcywh", (250, 50, 100, 60)),
        ("xywhn", (0.625, 0.1, 0.3125, 0.3)),
        ("xyxyn", (0.625, 0.1, 0.9375, 0.4)),
        ("cxcywhn", (0.78125, 0.25, 0.3125, 0.3)),
    ],
)
def test_every_reading_of_one_box(reading, values):
    assert corners(values, reading, SIZE) == pytest.approx((200, 20, 300, 80))


@pytest.mark.parametrize(
    ("reading", "values"),
    [
        # The numbers of the first and of the last pixel, which is inside.
        ("xyxy", (201, 21, 300, 80)),
        # A hundred pixels from number 201 on are still a hundred pixels.
        ("xywh", (201, 21, 100, 60)),
        ("cxcywh", (251, 51, 100, 60)),
        # Fractions have no first pixel.
        ("xywhn", (0.625, 0.1, 0.3125, 0.3)),
        ("xyxyn", (0.625, 0.1, 0.9375, 0.4)),
        ("cxcywhn", (0.78125, 0.25, 0.3125, 0.3)),
    ],
)
def test_every_reading_of_one_box_whose_pixels_count_from_1(reading, values):
    assert corners(values, reading, SIZE, origin=1) == pytest.approx((200, 20, 300, 80))
    # What boxes are compared with is read by the same rule: a box over all of the image fits it.
    whole = {
        "xyxy": (1, 1, 320, 200),
        "xywh": (1, 1, 320, 200),
        "cxcywh": (161, 101, 320, 200),
        "xywhn": (0, 0, 1, 1),
        "xyxyn": (0, 0, 1, 1),
        "cxcywhn": (0.5, 0.5, 1, 1),
    }
    assert looked_at([whole[reading]] * 4, reading, origin=1) == []


def test_boxes_that_are_what_they_are_read_as_raise_no_doubt():
    boxes = [(10, 10, 50, 60), (200, 20, 100, 60), (0, 0, 320, 200), (5, 5, 3, 3), (1, 30, 10, 10)]
    assert looked_at(boxes, "xywh") == []
    assert looked_at([], "xywh") == []
    # Objects that fill their images could be corners as well, but are not.
    assert looked_at([(4 + k, 3 + k, 300 - k, 180 - k) for k in range(12)], "xywh") == []
    # A few that reach over the border are what labels are like.
    assert looked_at([*boxes * 5, (300, 20, 40, 40)], "xywh") == []
    assert looked_at([(201, 21, 300, 80), (5, 7, 5, 7)], "xyxy", origin=1) == []


@pytest.mark.parametrize(
    ("values", "reading", "what", "cure", "error"),
    [
        ([(0.6, 0.1, 0.3, 0.3)], "xywh", "fractions", "--boxes xywhn", True),
        ([(200, 20, 300, 80)] * 3, "xywh", "corners", "--boxes xyxy", True),
        ([(200, 20, 300, 80)], "xywh", "corners", "--boxes xyxy", False),
        ([(200, 20, 100, 60)] * 3, "xyxy", "left, top and size", "--boxes xywh", True),
        ([(250, 150, 100, 90)] * 3, "xywh", "centre and size", "--boxes cxcywh", True),
        (
            [(0.625, 0.1, 0.3125, 0.3)] * 3 + [(0.0, 0.0, 0.2, 0.2)],
            "cxcywhn",
            "left, top and size",
            "--boxes xywhn",
            True,
        ),
    ],
)
def test_what_boxes_look_like(values, reading, what, cure, error):
    (doubt,) = looked_at(values, reading)
    assert what in doubt.text and cure in doubt.cure and doubt.error == error


def test_fractions_are_told_from_pixels_that_count_from_1():
    (doubt,) = looked_at([(0.2, 0.1, 0.9, 0.4)], "xyxy", origin=1)
    assert "fractions" in doubt.text and "--boxes xyxyn" in doubt.cure and doubt.error


def test_boxes_of_another_size_of_the_image():
    (doubt,) = looked_at([(400, 40, 200, 120), (900, 300, 90, 90), (10, 10, 20, 20)], "xywh")
    assert "67% of the boxes reach far over the border" in doubt.text and not doubt.error


def test_the_number_of_the_first_pixel():
    (doubt,) = looked_at([(1, 1, 319, 199), (1, 20, 50, 60), (30, 1, 50, 60)], "xywh")
    assert "3 boxes begin at pixel 1 and none at 0" in doubt.text and "--origin 1" in doubt.cure
    (doubt,) = looked_at([(0, 5, 50, 60), (30, 10, 50, 60)], "xyxy", origin=1)
    assert "1 boxes begin at pixel 0" in doubt.text and "--origin 0" in doubt.cure
