"""Labels of boxes: text that fits, a place where it hides least, and its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]

_DARK, _LIGHT = (17, 17, 17), (255, 255, 255)
_SMALLEST_FONT = 8


class Label(NamedTuple):
    """A label: rectangle (left, top, right, bottom; the last two exclusive), text, font size and colour."""

    box: Rectangle
    text: str
    size: int
    colour: Colour


def text_colour(background: Colour) -> Colour:
    """Returns near black or white, whichever has the higher contrast with `background` (at least 4.3 : 1).

    Contrast is that of the Web Content Accessibility Guidelines (WCAG 2).
    """
    dark, light = (luminance(colour) + 0.05 for colour in (_DARK, _LIGHT))
    ground = luminance(background) + 0.05
    return _DARK if ground / dark > light / ground else _LIGHT


def luminance(colour: Colour) -> float:
    """Returns the relative luminance of an sRGB colour, from 0 for black to 1 for white; as in WCAG 2."""
    linear = [v / 3294.6 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def label_text(index: int, names: Sequence[str] | None, scores: np.ndarray | None) -> str:
    """Returns a label such as "name 0.87", on one line whatever the name holds.

    Either part may be missing.
    """
    parts = [" ".join(str(names[index]).split())] if names is not None else []
    if scores is not None:
        parts.append(f"{float(scores[index]):.2f}")
    return " ".join(part for part in parts if part)


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Returns Pillow's own scalable font, so that pictures look the same on every machine."""
    return ImageFont.load_default(size)  # type: ignore[return-value]


def fitted(text: str, size: int, room: int) -> tuple[str, int, int]:
    """Returns the text with the font size and the width in pixels with which it fits into `room` pixels.

    A smaller font is tried first; if the smallest is too wide, the text is shortened.
    """
    for smaller in range(size, _SMALLEST_FONT - 1, -1):
        length = int(np.ceil(font(smaller).getlength(text)))
        if length <= room:
            return text, smaller, length
    smallest = font(_SMALLEST_FONT)
    while text and smallest.getlength(text + "…") > room:
        text = text[:-1]
    text = text + "…" if text else ""
    return text, _SMALLEST_FONT, int(np.ceil(smallest.getlength(text)))


def place_label(
    text: str, corners: Rectangle, colour: Colour, size: int, image: tuple[int, int], taken: Sequence[Label]
) -> Label | None:
    """Puts a label above its box, else inside, else below: the first place that covers none of `taken`.

    `corners` is the box in pixels, and `image` is (height, width), which the label never leaves. Where every
    place is taken the label goes to the first. Returns None without text or in an image too small for any
    text.
    """
    height, width = image
    pad = max(2, size // 4)
    text, size, length = fitted(text, size, width - 2 * pad)
    wide, tall = length + 2 * pad, size + pad + 2
    if not text or tall > height:
        return None
    x0, y0, x1, y1 = corners
    above, below, inside = y0 - tall, y1, min(y0, height - tall)
    wanted = [
        (x0, above),
        (x0, inside),
        (x0, below),
        (x1 - wide, above),
        (x1 - wide, inside),
        (x0, y1 - tall),
    ]
    # A place may move sideways into the image, but not up or down, where it would cover something else.
    lefts = [(min(max(x, 0), width - wide), y) for x, y in wanted if 0 <= y <= height - tall]
    places = [(x, y, x + wide, y + tall) for x, y in lefts]
    free = [place for place in places if not any(_meet(place, other.box) for other in taken)]
    return Label((free or places)[0], text, size, colour)


def _meet(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def draw_labels(canvas: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """Returns the canvas, RGB uint8 (h, w, 3), with the labels drawn; the first lies on top."""
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    for label in reversed(labels):
        left, top, right, bottom = label.box
        pen.rectangle((left, top, right - 1, bottom - 1), fill=label.colour)
        middle = ((left + right) / 2, (top + bottom) / 2)
        pen.text(middle, label.text, fill=text_colour(label.colour), font=font(label.size), anchor="mm")
    return np.array(picture)
