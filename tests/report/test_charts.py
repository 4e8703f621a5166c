"""Charts as numbers: scales, ticks, gaps."""

import math

import pytest

from gluon_ssd.report.charts import BOTTOM, LEFT, RIGHT, TOP, Line, chart


def test_a_line_from_corner_to_corner():
    drawn = chart("t", [Line("a", [0, 10], [0, 1])], "x", y_range=(0, 1))
    assert drawn.curves[0]["path"] == f"M{LEFT:.1f} {BOTTOM:.1f}L{RIGHT:.1f} {TOP:.1f}"
    assert [text for _, text in drawn.x_ticks] == ["0", "2", "4", "6", "8", "10"]
    assert [text for _, text in drawn.y_ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


def test_values_that_are_not_finite_interrupt_the_line():
    path = chart("t", [Line("a", [0, 1, 2, 3], [1, math.nan, 1, 2])], "x").curves[0]["path"]
    assert path.count("M") == 2 and path.count("L") == 1


def test_one_point_and_none():
    drawn = chart("t", [Line("a", [7], [3.0])], "x")
    assert drawn.curves[0]["dots"][0][0] == (LEFT + RIGHT) / 2
    assert chart("t", [Line("a", [], []), Line("b", [1], [math.nan])], "x") is None
    assert chart("t", [Line("zero", [1, 2], [0, 0])], "x").y_ticks[0] == (BOTTOM, "0")


def test_there_is_no_tick_between_two_epochs():
    assert [text for _, text in chart("t", [Line("a", [1, 2], [3, 4])], "epoch").x_ticks] == ["1", "2"]
    assert len(chart("t", [Line("a", [0.5, 1.5], [3, 4])], "x").x_ticks) > 2


def test_a_few_values_far_above_the_others_make_the_axis_logarithmic():
    drawn = chart("t", [Line("a", range(10), [1e6, *[2.0] * 8, 0.5])], "x")
    assert [text for _, text in drawn.y_ticks][:3] == ["1", "10", "100"]


@pytest.mark.parametrize("top", [1e-9, 0.003, 7, 49.9, 12345])
def test_there_are_a_few_round_ticks(top):
    ticks = chart("t", [Line("a", [1, 2], [0, top])], "x").y_ticks
    assert 3 <= len(ticks) <= 7
    assert all(TOP <= place <= BOTTOM for place, _ in ticks)


def test_places_that_are_not_finite_or_too_close_for_floats():
    assert chart("t", [Line("a", [math.nan, 2], [0.0, 5.0])], "x") is None
    drawn = chart("t", [Line("a", [4e16], [0.0])], "x")
    assert drawn.curves[0]["dots"][0][0] == (LEFT + RIGHT) / 2
