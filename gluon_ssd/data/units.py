"""What the four numbers of a box mean, and whether they could mean something else.

A reading is the order of the four numbers: ``xywh`` is left, top, width, height; ``xyxy`` is left, top,
right, bottom; ``cxcywh`` is centre, width, height. An ``n`` behind it says that they are fractions of the
image instead of pixels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .choices import READINGS

_WORDS = {
    "xywh": "left, top, width, height in pixels",
    "xyxy": "left, top, right, bottom in pixels",
    "cxcywh": "centre, width, height in pixels",
    "xywhn": "left, top, width, height as fractions of the image",
    "xyxyn": "left, top, right, bottom as fractions of the image",
    "cxcywhn": "centre, width, height as fractions of the image",
}
_SHORT = {"xywh": "left, top and size", "xyxy": "corners", "cxcywh": "centre and size"}
# When fewer boxes than the first share fit their image as they are read, another reading is looked for; that
# one has to fit the second share of them.
_DOUBTFUL, _FITTING = 0.9, 0.98
# With at least this many boxes it is no chance that most of them overrun the image.
_SOME = 3


class Doubt(NamedTuple):
    """A suspicion that boxes are read wrongly.

    ``text`` says what the boxes look like, ``cure`` names the flag that helps, and ``error`` is true when the
    boxes cannot be what they are read as.
    """

    error: bool
    text: str
    cure: str

    def __str__(self) -> str:
        return f"{self.text}; {self.cure}"


def corners(values: Any, reading: str, size: Any, origin: int = 0) -> tuple[Any, Any, Any, Any]:
    """Returns left, top, right, bottom in pixels for an image of ``size`` (width, height).

    ``origin`` is the number of the first pixel. From 1, pixel number k reaches from the coordinate k - 1 to
    k. A position therefore shifts by 1, a width stays, and so do right and bottom, whose pixels are included.
    Fractions have no first pixel.
    """
    first = 0 if reading.endswith("n") else origin
    a, b, c, d = values
    a, b = a - first, b - first
    order = reading.rstrip("n")
    if order == "xywh":
        c, d = a + c, b + d
    elif order == "cxcywh":
        a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    if reading.endswith("n"):
        return a * size[0], b * size[1], c * size[0], d * size[1]
    return a, b, c, d


def doubts(values: np.ndarray, sizes: np.ndarray, reading: str, origin: int = 0) -> list[Doubt]:
    """Compares how boxes are read with how else they could be read.

    ``values`` float (n, 4) are the numbers as the labels have them, ``sizes`` (n, 2) is the width and height
    of each box's image, and ``origin`` is the number of the first pixel. Returns the likeliest mistakes, or
    an empty list.
    """
    if not len(values):
        return []
    shares = {other: _share(values, sizes, other, origin) for other in READINGS}
    share = shares[reading]
    others = [other for other in READINGS if other != reading and shares[other] >= _FITTING]
    if share < _DOUBTFUL and others:
        # Of readings that fit equally well, one with the same order of numbers is likelier: forgetting to say
        # "pixels" or "fractions" is the more common mistake.
        best = max(others, key=lambda other: (shares[other], other.rstrip("n") == reading.rstrip("n")))
        # Fractions that are read as pixels lie within one pixel, and pixels that are read as fractions lie
        # far outside, so a single box proves that mistake. A mistaken order needs several boxes.
        certain = best.endswith("n") != reading.endswith("n") or len(values) >= _SOME
        return [_other_reading(share, reading, best, share < 0.5 and certain)]
    over = 1 - float(_inside(values, sizes, reading, origin, slack=0.05).mean())
    if over > 1 - _DOUBTFUL and len(values) >= _SOME:
        # No reading fits, so the order of the numbers is not the mistake; the images may have been resized.
        text = f"{over:.0%} of the boxes reach far over the border of their image"
        size = Doubt(False, text, "are they for images of another size, such as those before resizing?")
        return [size, *_other_origin(values, reading, origin)]
    return _other_origin(values, reading, origin)


def _other_reading(share: float, reading: str, best: str, error: bool) -> Doubt:
    what = _SHORT[best.rstrip("n")]
    if best.endswith("n") != reading.endswith("n"):
        what = "fractions" if best.endswith("n") else "pixels"
    text = f"boxes look like {what}: all can be {_WORDS[best]}, {share:.0%} can be {_WORDS[reading]}"
    return Doubt(error, text, f"if so, gluon-ssd convert-data with --boxes {best}; else --boxes {reading}")


def _share(values: np.ndarray, sizes: np.ndarray, reading: str, origin: int) -> float:
    """The share of boxes that lie inside their image and are a pixel wide or high, when read like this."""
    low, high = _sides(values, sizes, reading, origin)
    # A side of less than a pixel is allowed, but not both: fractions that are read as pixels would be such
    # boxes. Counting from 1 makes each of their sides longer by one.
    least = 1 + (origin if reading == "xyxy" else 0)
    sized = (high > low).all(axis=1) & (high - low >= least).any(axis=1)
    return float((sized & _inside(values, sizes, reading, origin, slack=0.01)).mean())


def _inside(values: np.ndarray, sizes: np.ndarray, reading: str, origin: int, slack: float) -> np.ndarray:
    """Whether each box is inside its image, bool (n,), but for ``slack`` of its size or 1.5 pixels."""
    low, high = _sides(values, sizes, reading, origin)
    room = np.maximum(1.5, slack * sizes)
    return np.asarray((low >= -room).all(axis=1) & (high <= sizes + room).all(axis=1))


def _sides(values: np.ndarray, sizes: np.ndarray, reading: str, origin: int) -> tuple[np.ndarray, np.ndarray]:
    """Left and top, then right and bottom, each (n, 2), in pixels."""
    left, top, right, bottom = corners(values.T, reading, sizes.T, origin)
    return np.stack([left, top], axis=1), np.stack([right, bottom], axis=1)


def _other_origin(values: np.ndarray, reading: str, origin: int) -> list[Doubt]:
    """Finds a wrong number of the first pixel: boxes that begin at the border of the image give it away."""
    # Fractions have no first pixel, and a centre does not lie on the border.
    if reading.endswith("n") or reading == "cxcywh":
        return []
    low = values[:, :2].min(axis=1)
    if origin == 1 and (low < 1).any():
        count = int((low < 1).sum())
        text = f"{count} boxes begin at pixel 0, which files that count from 1 cannot have"
        return [
            Doubt(False, text, "if pixels are counted from 0, gluon-ssd convert-data with --origin 0")
        ]
    # Objects that touch the left or top border are common, so files that count from 0 contain zeros. Several
    # ones and no zero at all suggest that the file counts from 1.
    ones = int((values[:, :2] == 1).any(axis=1).sum())
    if origin == 0 and ones >= 3 and (low >= 1).all() and (values == np.rint(values)).all():
        text = f"{ones} boxes begin at pixel 1 and none at 0, as in files that count pixels from 1"
        return [Doubt(False, text, "if so, gluon-ssd convert-data with --origin 1")]
    return []
