"""Paints textured shapes on cluttered backgrounds; `shapes.py` turns the pictures into a data set.

Everything is drawn from one `numpy.random.Generator`, so that a picture depends on its seed alone. Canvases
are uint8 (h, w, 3). Outlines are float (n, 2) x, y points of a shape of radius about 1 around (0, 0).
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Callable

import cv2
import numpy as np

Outline = list[np.ndarray]
SUPERSAMPLE = 4


@dataclass(frozen=True)
class Patch:
    """The coverage of one shape: `alpha` uint8 (h, w), with its top-left pixel at canvas position (x, y)."""

    alpha: np.ndarray
    x: int
    y: int


def _polygon(corners: int, radius: float = 1.0, turn: float = 0.0) -> np.ndarray:
    angles = turn + 2 * np.pi * np.arange(corners) / corners
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _star() -> np.ndarray:
    points = np.empty((10, 2))
    points[0::2] = _polygon(5, turn=-np.pi / 2)
    points[1::2] = _polygon(5, radius=0.42, turn=np.pi / 5 - np.pi / 2)
    return points


def _cross(arm: float = 0.34) -> np.ndarray:
    quarter = np.array([[1.0, -arm], [1.0, arm], [arm, arm]])
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, i) for i in range(4)])


@dataclass(frozen=True)
class Style:
    """The look of a class: its hues, up to an eighth of the circle away from `hue` (0..1), and its textures.

    Classes overlap in hue and share textures, so that neither gives a class away without its outline.
    """

    hue: float
    textures: tuple[str, ...]


TEXTURES = ("stripes", "checks", "dots", "noise", "gradient")
STYLES = {
    "circle": Style(0 / 6, ("dots", "gradient")),
    "square": Style(1 / 6, ("checks", "stripes")),
    "triangle": Style(2 / 6, ("stripes", "noise")),
    "star": Style(3 / 6, ("gradient", "checks")),
    "ring": Style(4 / 6, ("noise", "stripes")),
    "cross": Style(5 / 6, ("dots", "checks")),
}


# The second contour of a shape is a hole.
OUTLINES: dict[str, Callable[[], Outline]] = {
    "circle": lambda: [_polygon(64)],
    "square": lambda: [_polygon(4, turn=np.pi / 4)],
    "triangle": lambda: [_polygon(3, turn=-np.pi / 2)],
    "star": lambda: [_star()],
    "ring": lambda: [_polygon(64), _polygon(64, radius=0.58)],
    "cross": lambda: [_cross()],
}


def fit(
    outline: Outline, diameter: float, angle: float, aspect: float, centre: tuple[float, float]
) -> Outline:
    """Returns the outline stretched by `aspect`, rotated, and scaled and moved to its place in the picture.

    The longer side of its box is `diameter` pixels, and the middle of its box is at `centre`.
    """
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.array([[cosine, sine], [-sine, cosine]])
    turned = [contour * (aspect, 1.0) @ rotation for contour in outline]
    low, high = turned[0].min(axis=0), turned[0].max(axis=0)
    scale = diameter / (high - low).max()
    return [(contour - (low + high) / 2) * scale + centre for contour in turned]


def rasterise(outline: Outline) -> Patch:
    """Returns the anti-aliased coverage of an outline in canvas pixels; later contours cut holes."""
    low = np.floor(outline[0].min(axis=0)).astype(int) - 1
    high = np.ceil(outline[0].max(axis=0)).astype(int) + 1
    width, height = (int(v) for v in high - low)
    fine = np.zeros((height * SUPERSAMPLE, width * SUPERSAMPLE), np.uint8)
    # fillPoly puts pixel centres on integers, hence the half pixel; the last 4 bits are sub-pixel.
    points = [np.round(((c - low) * SUPERSAMPLE - 0.5) * 16).astype(np.int32) for c in outline]
    cv2.fillPoly(fine, points, (255,), shift=4)
    return Patch(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA), int(low[0]), int(low[1]))


def windows(patch: Patch, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Returns slices (into canvas, into patch) of the part of a patch on the canvas; it may be empty."""
    height, width = patch.alpha.shape
    top, left = max(patch.y, 0), max(patch.x, 0)
    bottom, right = max(min(patch.y + height, shape[0]), top), max(min(patch.x + width, shape[1]), left)
    on_canvas = (slice(top, bottom), slice(left, right))
    return on_canvas, (slice(top - patch.y, bottom - patch.y), slice(left - patch.x, right - patch.x))


def blend(canvas: np.ndarray, patch: Patch, colours: np.ndarray, opacity: float = 1.0) -> None:
    """Lays `colours` over the canvas where the patch covers it.

    They are patch-sized (h, w, 3), or one colour (3,).
    """
    on_canvas, on_patch = windows(patch, canvas.shape)
    under = canvas[on_canvas]
    if under.size == 0:
        return
    weight = patch.alpha[on_patch][..., None].astype(np.float32) * (opacity / 255)
    over = colours[on_patch] if colours.ndim == 3 else colours.astype(np.float32)
    canvas[on_canvas] = (under + (over - under) * weight + 0.5).astype(np.uint8)


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> np.ndarray:
    """Smooth noise in 0..1 (h, w) whose features are about `cell` pixels wide."""
    rows, columns = (max(2, int(np.ceil(v / cell)) + 1) for v in (height, width))
    coarse = rng.random((rows, columns), dtype=np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def _pattern(
    rng: np.random.Generator, height: int, width: int, size: float, textures: tuple[str, ...] = TEXTURES
) -> np.ndarray:
    """One of `textures` in 0..1 (h, w), scaled to an object of `size` pixels."""
    kind = rng.choice(textures)
    period = max(5.0, size * rng.uniform(0.13, 0.3))
    if kind == "noise":
        return np.clip(1.6 * _smooth_noise(rng, height, width, period / 2) - 0.3, 0, 1)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.ogrid[:height, :width]
    u = (x * np.cos(angle) + y * np.sin(angle)).astype(np.float32)
    if kind == "gradient":
        return (u - u.min()) / max(float(np.ptp(u)), 1.0)
    v = (y * np.cos(angle) - x * np.sin(angle)).astype(np.float32)
    wave = 2 * np.pi / period
    if kind == "stripes":
        field = np.sin(u * wave)
    elif kind == "checks":
        field = np.sin(u * wave / 1.4) * np.sin(v * wave / 1.4)
    else:
        field = np.cos(u * wave) + np.cos(v * wave) - 0.7
    # The gain makes an edge about one and a half pixels wide: crisp, yet free of stair steps.
    return np.clip(0.5 + field * period / 8, 0, 1)


def _colour(
    rng: np.random.Generator,
    saturation: tuple[float, float],
    value: tuple[float, float],
    hue: tuple[float, float] = (0, 1),
) -> np.ndarray:
    rgb = colorsys.hsv_to_rgb(rng.uniform(*hue) % 1, rng.uniform(*saturation), rng.uniform(*value))
    return 255 * np.array(rgb, np.float32)


def _object_colours(
    rng: np.random.Generator, local: np.ndarray, hue: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Two vivid colours: of three pairs drawn, the one that stands out most from the `local` background."""
    best, best_distance = None, -1.0
    for _ in range(3):
        first = _colour(rng, (0.55, 1.0), (0.65, 1.0), hue)
        second = _colour(rng, (0.1, 0.9), (0.15, 0.5) if rng.random() < 0.5 else (0.85, 1.0))
        distance = float(np.abs(first - local).sum() + 0.5 * np.abs(second - local).sum())
        if distance > best_distance:
            best, best_distance = (first, second), distance
    assert best is not None
    return best


def paint(
    rng: np.random.Generator, canvas: np.ndarray, patch: Patch, size: float, style: Style | None = None
) -> None:
    """Fills a patch with a texture of `style` (any, without one), lit from above, over a soft shadow."""
    height, width = patch.alpha.shape
    on_canvas, _ = windows(patch, canvas.shape)
    under = canvas[on_canvas]
    local = under.reshape(-1, 3).mean(axis=0) if under.size else np.full(3, 127.0)
    hue = (style.hue - 1 / 8, style.hue + 1 / 8) if style else (0.0, 1.0)
    first, second = _object_colours(rng, local, hue)
    # Not the whole way to the second colour: the outline has to stay visible against any background.
    mix = 0.65 * _pattern(rng, height, width, size, style.textures if style else TEXTURES)[..., None]
    light = np.linspace(1.08, 0.86, height, dtype=np.float32)[:, None, None]
    colours = np.clip((first + (second - first) * mix) * light, 0, 255)

    reach = int(max(2, size * 0.06))
    # The shadow is the blurred shape, padded so that the blur fits, and moved down and right by `reach`.
    shadow = cv2.GaussianBlur(np.pad(patch.alpha, 2 * reach), (0, 0), reach / 1.5)
    blend(canvas, Patch(shadow, patch.x - reach, patch.y - reach), np.zeros(3), opacity=0.45)
    blend(canvas, patch, colours)


def background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Returns a muted gradient with noise, at times with a faint pattern: uint8 (h, w, 3)."""
    value = rng.uniform(0.25, 0.85)
    corners = np.stack([_colour(rng, (0.05, 0.45), (value - 0.15, value + 0.15)) for _ in range(6)])
    canvas = cv2.resize(corners.reshape(2, 3, 3), (width, height), interpolation=cv2.INTER_CUBIC)
    side = max(height, width)
    texture = 60 * (_smooth_noise(rng, height, width, side / 5) - 0.5)
    texture += 30 * (_smooth_noise(rng, height, width, side / 24) - 0.5)
    if rng.random() < 0.5:
        texture += rng.uniform(10, 28) * (_pattern(rng, height, width, side * rng.uniform(0.1, 0.5)) - 0.5)
    return np.clip(canvas + texture[..., None], 0, 255).astype(np.uint8)


def _blob_outline(rng: np.random.Generator) -> np.ndarray:
    """A lobed, stretched outline that resembles none of the classes."""
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    # A circle with waves of two, three and five lobes on its radius.
    radius = np.ones_like(angles)
    for frequency in (2, 3, 5):
        radius += rng.uniform(0.12, 0.3) * np.cos(frequency * angles + rng.uniform(0, 2 * np.pi))
    return np.maximum(radius, 0.15)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _clutter_patch(rng: np.random.Generator, height: int, width: int, vivid: bool) -> tuple[Patch, float]:
    """A blob or a stick somewhere on the canvas, with its size in pixels.

    Vivid ones are larger and longer: painted like an object, a small round blob would pass for one.
    """
    size = min(height, width) * (rng.uniform(0.2, 0.5) if vivid else rng.uniform(0.08, 0.45))
    stick = rng.random() < 0.45
    outline = _polygon(4, turn=np.pi / 4) if stick else _blob_outline(rng)
    aspect = rng.uniform(5, 11) if stick else rng.uniform(2.2, 3.2) if vivid else rng.uniform(1.4, 2.2)
    centre = (rng.uniform(0, width), rng.uniform(0, height))
    return rasterise(fit([outline], size, rng.uniform(0, 2 * np.pi), aspect, centre)), size


def _strokes(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Draws broken lines and open arcs."""
    height, width = canvas.shape[:2]
    for _ in range(rng.integers(2, 8)):
        colour = tuple(float(v) for v in _colour(rng, (0.0, 0.7), (0.1, 1.0)))
        thickness = int(rng.integers(1, 4))
        if rng.random() < 0.6:
            points = rng.uniform(-0.1, 1.1, (rng.integers(2, 5), 1, 2)) * (width, height)
            cv2.polylines(canvas, [points.astype(np.int32)], False, colour, thickness, cv2.LINE_AA)
        else:
            centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
            axes = (int(rng.uniform(0.1, 0.6) * width), int(rng.uniform(0.1, 0.6) * height))
            start, tilt = rng.uniform(0, 360, 2)
            stop = start + rng.uniform(40, 150)
            cv2.ellipse(canvas, centre, axes, tilt, start, stop, colour, thickness, cv2.LINE_AA)


def clutter(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Draws what is not an object: blobs and sticks (some as vivid as the objects), strokes, specks."""
    height, width = canvas.shape[:2]
    for _ in range(rng.integers(2, 8)):
        vivid = rng.random() < 0.15
        patch, size = _clutter_patch(rng, height, width, vivid)
        if vivid:
            paint(rng, canvas, patch, size)
        else:
            blend(canvas, patch, _colour(rng, (0.05, 0.5), (0.15, 0.95)), opacity=rng.uniform(0.25, 0.8))
    _strokes(rng, canvas)
    for _ in range(rng.integers(0, 30)):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        colour = tuple(float(v) for v in _colour(rng, (0.0, 0.6), (0.2, 1.0)))
        cv2.circle(canvas, centre, int(rng.integers(1, 3)), colour, -1, cv2.LINE_AA)


def grain(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Returns the canvas with sensor noise of a random strength."""
    strength = int(rng.integers(2, 10))
    noise = rng.integers(0, 2 * strength + 1, canvas.shape, dtype=np.uint8)
    return cv2.subtract(cv2.add(canvas, noise), np.full_like(canvas, strength))
