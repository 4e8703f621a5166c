"""Line charts as numbers for a template: scaled curves, ticks, legend. ``chart.html`` makes SVG of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# The place of the curves in a drawing of 400 x 240. A phone shows it about as wide as this, so that its text
# keeps its size.
LEFT, TOP, RIGHT, BOTTOM = 46, 10, 390, 206
# A curve of at most so many points shows them.
_DOTS = 30


@dataclass(frozen=True)
class Line:
    """A curve through ``y`` over ``x``; values that are not finite interrupt it.

    ``style`` is a class of the style sheet: ink, blue, orange, green, pink or muted-line. ``note`` is written
    beside the name in the legend.
    """

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    style: str = "ink"
    dashed: bool = False
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """What the template draws, in its own coordinates. ``ticks`` are (place, text) pairs."""

    title: str
    x_label: str
    curves: list[dict[str, object]]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    mark: tuple[float, str] | None = None


def chart(
    title: str,
    lines: Sequence[Line],
    x_label: str,
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    mark: tuple[float, str] | None = None,
) -> Chart | None:
    """Returns a chart of ``lines``; None where none of them has a value.

    Without ``y_range`` the axis begins at 0, and is logarithmic where a few values are far above the others.
    ``mark`` is a place on the x axis and its name.
    """
    shown = [line for line in lines if _has_points(line)]
    if not shown:
        return None
    values = np.concatenate([np.asarray(line.y, np.float64) for line in shown])
    places = np.concatenate([np.asarray(line.x, np.float64) for line in shown])
    finite, places = values[np.isfinite(values)], places[np.isfinite(places)]
    log = y_range is None and finite.min() > 0 and finite.max() > 50 * np.median(finite)
    low, high = x_range or (float(places.min()), float(places.max()))
    if high <= low:
        # More than 1 where floats of this size are further apart.
        low, high = low - max(1.0, 1e-6 * abs(low)), high + max(1.0, 1e-6 * abs(high))
    bottom, top = y_range or ((float(finite.min()), float(finite.max())) if log else _from_zero(finite))
    # No ticks between two epochs.
    least = 1.0 if (places == np.round(places)).all() else 0.0
    across = _Scale(low, high, LEFT, RIGHT, least=least)
    upward = _Scale(bottom, top, BOTTOM, TOP, log)
    return Chart(
        title,
        x_label,
        [_curve(line, across, upward) for line in shown],
        across.ticks(),
        upward.ticks(),
        None if mark is None else (round(across.place(mark[0]), 1), mark[1]),
    )


def _has_points(line: Line) -> bool:
    x, y = np.asarray(line.x, np.float64), np.asarray(line.y, np.float64)
    return bool(np.isfinite(y).any() and np.isfinite(x).all())


def _from_zero(values: np.ndarray) -> tuple[float, float]:
    return min(0.0, float(values.min())), max(float(values.max()) * 1.08, 1e-12)


def _curve(line: Line, across: _Scale, upward: _Scale) -> dict[str, object]:
    points = [(x, y) for x, y in zip(np.asarray(line.x, float).tolist(), np.asarray(line.y, float).tolist())]
    path, pen_down = [], False
    for x, y in points:
        if not math.isfinite(y):
            pen_down = False
            continue
        path.append(f"{'L' if pen_down else 'M'}{across.place(x):.1f} {upward.place(y):.1f}")
        pen_down = True
    known = [(x, y) for x, y in points if math.isfinite(y)]
    dots = [
        (round(across.place(x), 1), round(upward.place(y), 1), f"{line.name} {y:.4g} at {x:g}")
        for x, y in known
    ]
    return {
        "name": line.name,
        "style": line.style,
        "dashed": line.dashed,
        "note": line.note,
        "path": "".join(path),
        "dots": dots if len(dots) <= _DOTS else [],
    }


@dataclass(frozen=True)
class _Scale:
    """Takes values from ``low`` to ``high`` to places from ``start`` to ``stop``.

    Ticks are at least ``least`` apart.
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False
    least: float = 0.0

    def place(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        share = (min(max(value, low), high) - low) / (high - low)
        return self.start + share * (self.stop - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Returns about five round values with their places."""
        if self.log:
            powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            values = [10.0**power for power in powers] or [self.low, self.high]
        else:
            step = max(_round_step((self.high - self.low) / 5), self.least)
            first = math.ceil(self.low / step - 1e-9)
            values = [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]
        return [(round(self.place(value), 1), f"{value:.4g}") for value in values]


def _round_step(step: float) -> float:
    """Returns the smallest of 1, 2 and 5 times a power of ten that is at least ``step``."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
