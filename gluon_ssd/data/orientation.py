"""Which way a picture is up: EXIF orientation, and which of its two frames the boxes are for.

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
    """Return (width, height) of the upright picture."""
    return header.size[::-1] if header.orientation in _SIDEWAYS else header.size


def is_ambiguous(header: Header) -> bool:
    """Whether the size does not tell which frame the boxes are for: the picture is to be turned, but keeps
    it.
    """
    return header.orientation != 1 and upright_size(header) == header.size


def turn_for(header: Header, declared: Size | None, orientation: str = "auto") -> int:
    """Return the EXIF orientation by which the stored pixels are turned to agree with the boxes; 1: not at
    all.

    ``declared`` is the (width, height) that the labels give, None where they give none. Where it is that of
    one frame alone, that frame it is. Else ``orientation`` decides; ``auto`` takes the upright picture,
    because that is what labelling tools show.
    """
    upright = upright_size(header)
    if declared is not None and header.size != upright and declared in (header.size, upright):
        return header.orientation if declared == upright else 1
    return 1 if orientation == "stored" else header.orientation


@functools.cache
def say_assumed() -> None:
    """Warn, once in a process, that the size of a picture did not tell its frame."""
    warnings.warn(
        "some pictures have an EXIF orientation that their size does not show (upside down, mirrored or "
        "square); their boxes are taken to be for the upright picture. 'gluon-ssd check' lists them; "
        "--orientation stored or upright decides",
        stacklevel=3,
    )


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return stored pixels (H, W, ...) as a viewer shows them."""
    if orientation in _SIDEWAYS:
        image = image.swapaxes(0, 1)
    return _mirrored(image, *_MIRRORS[orientation])


def turned_back(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return an upright picture (H, W, ...) as it was stored."""
    image = _mirrored(image, *_MIRRORS[orientation])
    return np.ascontiguousarray(image.swapaxes(0, 1)) if orientation in _SIDEWAYS else image


# (upside down, left to right), after width and height were exchanged where the orientation does that.
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
    """Return a box of the stored pixels (left, top, right, bottom) in pixels of the upright picture.

    ``stored`` is the stored (width, height).
    """
    left, top, right, bottom = ltrb
    width, height = stored
    if orientation in _SIDEWAYS:
        left, top, right, bottom = top, left, bottom, right
        width, height = height, width
    vertical, horizontal = _MIRRORS[orientation]
    if horizontal:
        left, right = width - right, width - left
    if vertical:
        top, bottom = height - bottom, height - top
    return left, top, right, bottom
