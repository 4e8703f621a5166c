"""Drawn boxes, labels, sheets: exact pixels where they matter."""

import numpy as np
import pytest

from gluon_ssd.report.draw import (
    PALETTE,
    contact_sheet,
    draw_boxes,
    palette_colour,
    sheet_font,
    side_by_side,
)
from gluon_ssd.report.labels import Label, fitted, label_text, luminance, place_label, text_colour

ORANGE, SKY, GREEN = (230, 159, 0), (86, 180, 233), (0, 158, 115)


def grey(height=100, width=120, value=100):
    return np.full((height, width, 3), value, np.uint8)


def where(image, colour):
    rows, columns = np.nonzero((image == np.array(colour, np.uint8)).all(axis=2))
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_palette_is_fixed_and_repeats():
    assert PALETTE[:3] == (ORANGE, SKY, GREEN)
    assert len(set(PALETTE)) == len(PALETTE) == 12
    assert palette_colour(0) == palette_colour(12) == ORANGE
    assert palette_colour(14) == GREEN


def test_luminance_is_that_of_the_guidelines():
    assert luminance((255, 255, 255)) == pytest.approx(1.0)
    assert luminance((0, 0, 0)) == 0
    # The grey of contrast 4.54 : 1 with white, often quoted as the lightest that WCAG allows for text.
    assert 1.05 / (luminance((118, 118, 118)) + 0.05) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("colour", [*PALETTE, (128, 128, 128), (255, 0, 0)])
def test_labels_are_readable_on_every_colour(colour):
    dark, light = sorted([luminance(colour), luminance(text_colour(colour))])
    assert (light + 0.05) / (dark + 0.05) >= 4.3


@pytest.mark.parametrize(
    ("size", "height"), [((3000, 4000), 127), ((480, 640), 22), ((700, 5000), 147), ((60, 80), 14)]
)
def test_labels_grow_with_the_picture(size, height):
    """The rows that a label covers: of a photo of any size a thirtieth of its longer side."""
    out = draw_boxes(grey(*size), [[size[1] // 2, size[0] // 2, size[1] // 2 + 9, size[0] // 2 + 9]], ["cat"])
    top, bottom, _, _ = where(out, ORANGE)
    assert abs((bottom - top + 1) - 9 - height) <= 3


def test_frame_covers_exactly_the_pixels_of_the_box():
    out = draw_boxes(grey(), np.array([[10, 20, 30, 50]]), class_ids=np.array([0]), line_width=1)
    assert where(out, ORANGE) == (20, 49, 10, 29)
    assert (out == np.array(ORANGE, np.uint8)).all(axis=2).sum() == 2 * 20 + 2 * 28
    assert tuple(out[30, 20]) == (100, 100, 100)  # inside
    assert tuple(out[30, 9]) == (50, 50, 50)  # the dark edge outside
    assert tuple(out[30, 8]) == (100, 100, 100)


def test_line_width():
    out = draw_boxes(grey(), [[10, 20, 40, 50]], line_width=3)
    assert [tuple(out[35, x]) == ORANGE for x in (10, 11, 12, 13)] == [True, True, True, False]
    assert [tuple(out[35, x]) == ORANGE for x in (39, 38, 37, 36)] == [True, True, True, False]


def test_the_input_is_left_alone():
    image = grey()
    draw_boxes(image, [[10, 20, 30, 50]], ["cat"], [0.5], [0])
    assert (image == 100).all()


def test_no_detections():
    image = grey()
    out = draw_boxes(image, np.zeros((0, 4)), [], np.zeros(0), np.zeros(0, int))
    assert (out == image).all() and out is not image


def test_one_pixel_image():
    out = draw_boxes(np.zeros((1, 1, 3), np.uint8), [[0, 0, 1, 1]], ["cat"], [0.9], [1])
    assert out.shape == (1, 1, 3)
    assert tuple(out[0, 0]) == SKY


@pytest.mark.parametrize(
    "box",
    [
        [-50, -50, -10, -10],
        [120, 0, 140, 50],
        [0, 100, 50, 140],
        [np.nan, 0, 10, 10],
        [0, 0, np.inf, 10],
        [30, 30, 10, 10],
    ],
)
def test_boxes_outside_or_not_finite_or_inverted_are_left_out(box):
    assert (draw_boxes(grey(), [box], ["cat"], [0.9], [0]) == 100).all()


def test_boxes_that_leave_the_image_are_cut():
    out = draw_boxes(grey(), [[-1000, -1000, 1000, 1000]], class_ids=[0], line_width=1)
    assert where(out, ORANGE) == (0, 99, 0, 119)


def test_a_box_without_area_still_shows():
    assert where(draw_boxes(grey(), [[10, 20, 10, 20]], class_ids=[2]), GREEN) == (20, 20, 10, 10)


def test_better_boxes_lie_on_top():
    boxes = [[10, 20, 40, 50], [10, 20, 40, 50]]
    assert tuple(draw_boxes(grey(), boxes, None, [0.9, 0.8], [0, 1])[49, 30]) == ORANGE
    assert tuple(draw_boxes(grey(), boxes, None, [0.8, 0.9], [0, 1])[49, 30]) == SKY


def test_without_class_ids_every_name_has_its_colour():
    out = draw_boxes(grey(), [[5, 40, 20, 60], [30, 40, 50, 60], [60, 40, 80, 60]], ["a", "b", "a"])
    assert [tuple(out[59, x]) for x in (5, 30, 60)] == [ORANGE, SKY, ORANGE]


def test_own_colours():
    assert tuple(
        draw_boxes(grey(), [[5, 5, 20, 20]], class_ids=[1], colours=[(1, 2, 3), (4, 5, 6)])[5, 5]
    ) == (4, 5, 6)


def test_scale_enlarges_image_and_boxes():
    out = draw_boxes(grey(), [[10, 20, 30, 50]], class_ids=[0], line_width=1, scale=2)
    assert out.shape == (200, 240, 3)
    assert where(out, ORANGE) == (40, 99, 20, 59)


@pytest.mark.parametrize(
    "box", [[0, 0, 30, 30], [100, 0, 120, 20], [0, 80, 20, 100], [110, 90, 120, 100], [0, 0, 120, 100]]
)
def test_label_text_stays_inside_the_image(box):
    """The label is a solid rectangle: its rows and columns are all there, whatever corner the box is in."""
    label = place_label("a label 0.99", tuple(box), ORANGE, 10, (100, 120), [])
    left, top, right, bottom = label.box
    assert 0 <= left < right <= 120 and 0 <= top < bottom <= 100
    out = draw_boxes(grey(), [box], ["a label"], [0.99], [0], font_size=10)
    patch = out[top:bottom, left:right]
    assert (patch[0] == ORANGE).all() and (patch[-1] == ORANGE).all()
    assert (patch[:, 0] == ORANGE).all() and (patch[:, -1] == ORANGE).all()
    assert (patch.sum(axis=2) < 150).sum() > 20  # dark ink of the letters


def test_label_goes_above_then_inside():
    assert place_label("cat", (30, 40, 60, 70), ORANGE, 10, (100, 120), []).box[1::2] == (26, 40)
    assert place_label("cat", (30, 5, 60, 70), ORANGE, 10, (100, 120), []).box[1::2] == (5, 19)


def test_labels_avoid_each_other():
    first = place_label("cat", (30, 40, 60, 70), ORANGE, 10, (100, 120), [])
    second = place_label("dog", (30, 40, 60, 70), SKY, 10, (100, 120), [first])
    assert second.box[1::2] == (40, 54)
    everywhere = Label((0, 0, 120, 100), "", 10, ORANGE)
    assert place_label("dog", (30, 40, 60, 70), SKY, 10, (100, 120), [everywhere]).box[1::2] == (26, 40)


def test_long_names_shrink_then_are_cut():
    text, size, width = fitted("short", 14, 200)
    assert (text, size) == ("short", 14)
    text, size, width = fitted("a name that is rather long", 14, 120)
    assert text == "a name that is rather long" and size == 10 and width <= 120
    text, size, width = fitted("a name that is rather long " * 5, 14, 100)
    assert text.endswith("…") and size == 8 and width <= 100
    assert fitted("cat", 14, 1)[0] == ""


def test_label_text():
    assert label_text(0, ["cat"], np.array([0.876])) == "cat 0.88"
    assert label_text(0, ["traffic\nlight"], None) == "traffic light"
    assert label_text(0, None, [1.0]) == "1.00"
    assert label_text(0, None, None) == ""


def test_strange_names_do_not_break_drawing():
    draw_boxes(grey(), [[5, 5, 50, 50]] * 4, ["", "日本\n", "é" * 500, "\x00$\\frac"], None, [0, 1, 2, 3])


@pytest.mark.parametrize(
    "image",
    [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3), np.float32), np.zeros((0, 5, 3), np.uint8), [[1]]],
)
def test_wrong_images_are_refused(image):
    with pytest.raises(ValueError, match="RGB uint8"):
        draw_boxes(image, np.zeros((0, 4)))


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="names has 2 entries for 1 items"):
        draw_boxes(grey(), [[0, 0, 5, 5]], ["cat", "dog"])
    with pytest.raises(ValueError, match="scores has 0 entries for 1 items"):
        draw_boxes(grey(), [[0, 0, 5, 5]], ["cat"], [])


def test_side_by_side():
    left, right = grey(220, 100, value=10), grey(110, 100, value=200)
    out = side_by_side(left, right)
    assert out.shape == (20 + 220 + 5, 5 + 100 + 5 + 200 + 5, 3)
    assert (out[20:240, 5:105] == 10).all()
    assert (out[20:240, 110:310] == 200).all()
    assert tuple(out[0, 0]) == (250, 250, 250)
    assert out[:20].min() < 120  # the titles


def test_contact_sheet():
    out = contact_sheet([grey(50, 100, value=v) for v in (10, 20, 30)], columns=2, cell=(60, 100))
    assert out.shape == (2 * 66 + 6, 2 * 106 + 6, 3)
    assert (out[11:61, 6:106] == 10).all()
    assert (out[11:61, 112:212] == 20).all()
    assert (out[77:127, 6:106] == 30).all()
    assert (out[77:127, 112:212] == 250).all()


def test_contact_sheet_with_captions_and_without_images():
    out = contact_sheet([grey()], captions=["one"], cell=(100, 120))
    assert out.shape == (100 + 20 + 12, 120 + 12, 3)
    assert out[107:127].min() < 120
    assert contact_sheet([]).shape == (240 + 16, 320 + 16, 3)
    with pytest.raises(ValueError, match="captions has 1 entries for 2"):
        contact_sheet([grey(), grey()], captions=["one"])
    with pytest.raises(ValueError, match="columns"):
        contact_sheet([grey()], columns=0)


@pytest.mark.parametrize(("size", "font"), [((300, 400), 20), ((150, 200), 10), ((1200, 1600), 80)])
def test_a_label_is_of_one_size_on_a_sheet_whatever_the_image(size, font):
    assert sheet_font(np.zeros((*size, 3), np.uint8), (300, 400)) == font
