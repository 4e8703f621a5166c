"""Attributes of objects, as labelling tools write them: flags, and the angle of a turned box."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# What warns of an object.
FLAGS = ("difficult", "ignore", "occluded", "truncated")


def is_set(value: Any) -> bool:
    """Returns whether a flag is set, which tools write as a number, as true, or as text."""
    if isinstance(value, str):
        return value.strip().casefold() in ("1", "true", "yes")
    return value in (1, True)


def flags_of(attributes: Mapping[str, Any]) -> list[str]:
    """Returns those of `FLAGS` that are set among the attributes of an object."""
    return [name for name in FLAGS if is_set(attributes.get(name))]


def rotation_of(value: Any) -> float:
    """Returns the angle that an attribute gives as a number or as text, from 0 to 360 degrees.

    It is 0 where the attribute is missing or no number.
    """
    # Few annotations have this attribute, and files have a million of them.
    if value is None:
        return 0.0
    try:
        angle = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return angle % 360 if math.isfinite(angle) else 0.0


def enclosing(width: float, height: float, angle: float) -> tuple[float, float]:
    """Returns width and height of the upright box around one that is turned by ``angle`` (radians).

    Both are rounded to nine decimals, which hides the noise of a right angle.
    """
    cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
    return round(width * cosine + height * sine, 9), round(width * sine + height * cosine, 9)
