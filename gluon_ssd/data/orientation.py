"""EXIF orientation: which way a picture is up, and for which of its two frames its boxes are.

A camera stores its pixels in one frame and notes in EXIF how a viewer has to turn them. Labels may be for the
stored pixels or for the upright picture. Every path that brings boxes and pixels together (both input
pipelines, record files, conversion, ``check``, ``predict``) asks this module.
"""

from __future__ import annotations

import functools
import warnings

import numpy as np

from .header import Header

Size = tuple[int, int]
# Orientations that exchange width and height.
_SIDEWAYS = (5, 6, 7, 8)


def upright_size(header: Header) -> Size:
    """Returns (width, height) of the upright picture."""
    return header.size[::-1] if header.orientation in _SIDEWAYS else header.size


def is_ambiguous(header: Header) -> bool:
    """Returns whether the size does not tell which of the two frames the boxes are for.

    That is so for a picture that EXIF turns without changing its size.
    """
    return header.orientation != 1 and upright_size(header) == header.size


def turn_for(header: Header, declared: Size | None, orientation: str = "auto") -> int:
    """Returns the EXIF orientation that turns the stored pixels so that they agree with the boxes; 1 is none.

    ``declared`` is the (width, height) that the labels give, None where they give none. If only one of the
    two frames has that size, the boxes are for that frame. Otherwise ``orientation`` decides: "stored", or
    "upright" and "auto", which both take the upright picture, because that is what labelling tools show.
    """
    upright = upright_size(header)
    # A size that only one frame has settles the question, whatever the caller chose for the unclear cases.
    if declared is not None and header.size != upright and declared in (header.size, upright):
        return header.orientation if declared == upright else 1
    return 1 if orientation == "stored" else header.orientation


@functools.cache
def say_assumed() -> None:
    """Warns, once in a process, that the size of a picture did not tell its frame."""
    warnings.warn(
        "some pictures have an EXIF orientation that their size does not show (upside down, mirrored or "
        "square); their boxes are taken to be for the upright picture. 'gluon-ssd check' lists them; "
        "--orientation stored or upright decides",
        stacklevel=3,
    )


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """Returns stored pixels (H, W, ...) as a viewer shows them."""
    if orientation in _SIDEWAYS:
        image = image.swapaxes(0, 1)
    return _mirrored(image, *_MIRRORS[orientation])


def turned_back(image: np.ndarray, orientation: int) -> np.ndarray:
    """Returns an upright picture (H, W, ...) as it was stored."""
    # The two steps of `turned` in reverse order; each of them undoes itself.
    image = _mirrored(image, *_MIRRORS[orientation])
    return np.ascontiguousarray(image.swapaxes(0, 1)) if orientation in _SIDEWAYS else image


# Whether to mirror (top to bottom, left to right), after width and height were exchanged where the
# orientation exchanges them. A quarter turn is such an exchange followed by one mirror.
_MIRRORS = {
    1: (False, False),
    2: (False, True),
    3: (True, True),
    4: (True, False),
    5: (False, False),
    6: (False, True),
    7: (True, True),
    8: (True, False),
}


def _mirrored(image: np.ndarray, vertical: bool, horizontal: bool) -> np.ndarray:
    return np.ascontiguousarray(image[:: -1 if vertical else 1, :: -1 if horizontal else 1])


def turned_box(
    ltrb: tuple[float, float, float, float], stored: Size, orientation: int
) -> tuple[float, float, float, float]:
    """Returns a box of the stored pixels (left, top, right, bottom) in pixels of the upright picture.

    ``stored`` is the stored (width, height).
    """
    left, top, right, bottom = ltrb
    width, height = stored
    if orientation in _SIDEWAYS:
        left, top, right, bottom = top, left, bottom, right
        width, height = height, width
    vertical, horizontal = _MIRRORS[orientation]
    if horizontal:
        # Mirroring exchanges the two sides as well, so that the left one stays the smaller.
        left, right = width - right, width - left
    if vertical:
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def turned_box_back(
    ltrb: tuple[float, float, float, float], stored: Size, orientation: int
) -> tuple[float, float, float, float]:
    """Returns a box of the upright picture (left, top, right, bottom) in pixels as they were stored.

    ``stored`` is the stored (width, height).
    """
    upright = stored[::-1] if orientation in _SIDEWAYS else stored
    # A quarter turn is undone by the other one; every other turn undoes itself.
    return turned_box(ltrb, upright, {6: 8, 8: 6}.get(orientation, orientation))
