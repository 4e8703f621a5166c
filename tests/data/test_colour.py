"""Colour jitter against its definition in slow floating point."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from gluon_ssd.data.colour import JITTERS, Colour, ColourJitter, recolour

from .conftest import picture


def slowly(image, colour):
    """One step after the other, pixel by pixel, in Python floats."""
    pixels = (image.reshape(-1, 3).astype(np.float64) * colour.brightness).tolist()
    grey = sum(0.299 * r + 0.587 * g + 0.114 * b for r, g, b in pixels) / len(pixels)
    if colour.centre is not None:
        grey = colour.brightness * colour.centre
    angle = 2 * np.pi * colour.hue
    result = []
    for pixel in pixels:
        r, g, b = (colour.contrast * value + (1 - colour.contrast) * grey for value in pixel)
        y, i, q = colorsys.rgb_to_yiq(r, g, b)
        i, q = (
            colour.saturation * (np.cos(angle) * i + np.sin(angle) * q),
            colour.saturation * (np.cos(angle) * q - np.sin(angle) * i),
        )
        # colorsys clips to 0..1 on the way back, so invert its matrix here.
        matrix = np.array([colorsys.rgb_to_yiq(*row) for row in np.eye(3)]).T
        result.append(np.linalg.solve(matrix, [y, i, q]))
    return np.clip(np.array(result), 0, 255).reshape(image.shape)


@pytest.mark.parametrize(
    "colour",
    [
        Colour(1.125, 1, 1, 0),
        Colour(1, 0.5, 1, 0),
        Colour(1, 1.5, 1, 0),
        Colour(1, 1, 0.5, 0),
        Colour(1, 1, 1.5, 0),
        Colour(1, 1, 1, 0.05),
        Colour(1, 1, 1, -0.05),
        Colour(0.9, 1.3, 0.7, 0.03),
        Colour(0.9, 1.5, 0.7, 0.5 / 360, centre=128),
    ],
)
def test_equals_the_definition(colour):
    image = picture(24, 16, seed=4)
    # colorsys rounds the YIQ matrix to two digits; 2 of 255 levels cover that and the rounding to uint8.
    assert np.abs(recolour(image, colour) - slowly(image, colour)).max() <= 2.6


def test_neutral_draw_changes_nothing():
    image = picture(40, 30)
    assert np.abs(recolour(image, Colour(1, 1, 1, 0)).astype(int) - image).max() <= 1


def test_grey_stays_grey():
    image = np.repeat(picture(20, 20)[..., :1], 3, axis=2)
    result = recolour(image, Colour(1.1, 1.4, 0.6, 0.05))
    assert np.ptp(result, axis=2).max() <= 1


def test_contrast_zero_is_the_mean_and_saturation_zero_the_luma():
    image = picture(20, 20, seed=2)
    luma = image @ np.array([0.299, 0.587, 0.114])
    assert np.abs(recolour(image, Colour(1, 0, 1, 0)) - luma.mean()).max() <= 1
    assert np.abs(recolour(image, Colour(1, 1, 0, 0)) - luma[..., None]).max() <= 1


def test_hue_turns_the_circle_as_hsv_does():
    colour = np.full((1, 1, 3), (150, 100, 100), np.uint8)
    before = colorsys.rgb_to_hsv(*(colour[0, 0] / 255.0))[0]
    turned = recolour(colour, Colour(1, 1, 1, 0.05))[0, 0] / 255.0
    change = (colorsys.rgb_to_hsv(*turned)[0] - before + 0.5) % 1 - 0.5
    assert abs(change) == pytest.approx(0.05, abs=0.02)


def test_draws_fill_their_ranges():
    rng = np.random.default_rng(0)
    draws = [ColourJitter().draw(rng) for _ in range(2000)]
    values = np.array([[d.brightness, d.contrast, d.saturation, d.hue] for d in draws])
    np.testing.assert_allclose(values.min(axis=0), [0.875, 0.5, 0.5, -0.05], atol=0.002)
    np.testing.assert_allclose(values.max(axis=0), [1.125, 1.5, 1.5, 0.05], atol=0.002)
    np.testing.assert_allclose(values.mean(axis=0), [1, 1, 1, 0], atol=0.02)


def test_the_two_published_jitters():
    """MLPerf's reference and DeepLearningExamples turn hue by 18 degrees, NVIDIA's DALI pipelines by 0.5."""
    draws = [JITTERS["dali"].draw(np.random.default_rng(seed)) for seed in range(200)]
    assert {draw.centre for draw in draws} == {128} and 0.4 < 360 * max(draw.hue for draw in draws) <= 0.5
    draws = [JITTERS["reference"].draw(np.random.default_rng(seed)) for seed in range(200)]
    assert {draw.centre for draw in draws} == {None} and 17 < 360 * max(draw.hue for draw in draws) <= 18


def test_contrast_about_grey_128_by_hand():
    """DALI's brightness-contrast: brightness x (128 + contrast x (value - 128))."""
    image = np.full((2, 2, 3), 168, np.uint8)
    assert recolour(image, Colour(0.5, 1.5, 1, 0, centre=128)).flat[0] == 94
    assert recolour(image, Colour(0.5, 1.5, 1, 0)).flat[0] == 84
