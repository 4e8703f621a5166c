"""Colour jitter as one 3x4 matrix per image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

LUMA = np.array([0.299, 0.587, 0.114])
_TO_YIQ = np.array([LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
# Rows of I and Q must sum to exactly zero for grey to stay grey.
_TO_YIQ[1:, 2] = -_TO_YIQ[1:, :2].sum(axis=1)
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


@dataclass(frozen=True)
class Colour:
    """One draw of the jitter: factors of brightness, contrast and saturation, and hue in turns of the circle.

    ``centre`` is the grey that contrast blends with; None is the image's mean luma.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float
    centre: float | None = None

    def matrix(self, mean_luma: float) -> np.ndarray:
        """Returns the matrix, float32 (3, 4), for RGB values 0..255 of an image with this mean luma.

        Brightness scales the values. Contrast blends them with the centre, which is brightened as the image
        is. Saturation scales, and hue rotates, the chroma plane of YIQ, which keeps the luma of every pixel.
        The order is brightness, contrast, saturation, hue, and values are clipped once, after all four.
        """
        angle = 2 * np.pi * self.hue
        cosine, sine = self.saturation * np.cos(angle), self.saturation * np.sin(angle)
        chroma = np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])
        gain = self.brightness * self.contrast
        centre = mean_luma if self.centre is None else self.centre
        # Chroma leaves grey alone, so the grey of the contrast is the same offset in all three channels.
        offset = (1 - self.contrast) * self.brightness * centre
        matrix = np.full((3, 4), offset)
        matrix[:, :3] = gain * (_FROM_YIQ @ chroma @ _TO_YIQ)
        result: np.ndarray = matrix.astype(np.float32)
        return result


@dataclass(frozen=True)
class ColourJitter:
    """Ranges of the jitter; the defaults are SSD's published ones. Hue is in turns (0.05 is 18 degrees)."""

    brightness: tuple[float, float] = (0.875, 1.125)
    contrast: tuple[float, float] = (0.5, 1.5)
    saturation: tuple[float, float] = (0.5, 1.5)
    hue: tuple[float, float] = (-0.05, 0.05)
    centre: float | None = None

    def draw(self, rng: np.random.Generator) -> Colour:
        """Draws the four values, each uniform in its range."""
        low, high = zip(self.brightness, self.contrast, self.saturation, self.hue)
        brightness, contrast, saturation, hue = rng.uniform(low, high).tolist()
        return Colour(brightness, contrast, saturation, hue, self.centre)


# The choices of a recipe's key ``colour``: "reference" is the jitter of MLPerf's reference and of
# DeepLearningExamples, "dali" that of DALI's pipelines.
JITTERS = {
    "reference": ColourJitter(),
    "dali": ColourJitter(hue=(-0.5 / 360, 0.5 / 360), centre=128.0),
}


def recolour(image: np.ndarray, colour: Colour) -> np.ndarray:
    """Applies a draw to an RGB uint8 (H, W, 3) picture, and returns uint8."""
    mean_luma = float(LUMA @ cv2.mean(image)[:3])
    # OpenCV rounds and clips to uint8 here, once for all four steps.
    recoloured: np.ndarray = cv2.transform(image, colour.matrix(mean_luma))
    return recoloured
