"""Default boxes of SSD."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AnchorGrid:
    """The anchors of one feature map: every shape stands at every centre. Fractions of the input, float64.

    ``sizes`` (k, 2): width and height; ``xs`` (columns,) and ``ys`` (rows,): centres, ascending.
    """

    sizes: np.ndarray
    xs: np.ndarray
    ys: np.ndarray


@dataclass(frozen=True)
class DefaultBoxes:
    """The default boxes of one SSD, all lengths in pixels of the network's square input.

    Every cell of feature map ``k`` has a square of ``scales[k]``, a square of the geometric mean of
    ``scales[k]`` and ``scales[k + 1]``, and for each ratio ``a`` in ``ratios[k]`` a box ``scales[k]`` wide
    times sqrt(a), high over sqrt(a), then the same box on its side. Source: Liu et al., "SSD: Single Shot
    MultiBox Detector" (2016), section 2.2.
    """

    image_size: int
    map_sizes: tuple[int, ...]
    steps: tuple[int, ...]
    scales: tuple[float, ...]
    ratios: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        levels = len(self.map_sizes)
        if not (len(self.steps) == len(self.ratios) == levels and len(self.scales) == levels + 1):
            raise ValueError(
                f"{levels} feature maps need {levels} steps, {levels} ratio tuples and {levels + 1} scales, "
                f"got {len(self.steps)}, {len(self.ratios)} and {len(self.scales)}"
            )

    @property
    def per_cell(self) -> tuple[int, ...]:
        """Boxes per cell of each feature map."""
        return tuple(2 + 2 * len(ratios) for ratios in self.ratios)

    def cell_sizes(self, level: int) -> np.ndarray:
        """(boxes per cell, 2) width and height in fractions of the image, float64."""
        small, large = (scale / self.image_size for scale in self.scales[level : level + 2])
        sizes = [(small, small), (np.sqrt(small * large),) * 2]
        for ratio in self.ratios[level]:
            wide = (small * np.sqrt(ratio), small / np.sqrt(ratio))
            sizes += [wide, wide[::-1]]
        return np.array(sizes)

    def xywh(self) -> np.ndarray:
        """(A, 4) float32 xywh in fractions of the image, clipped to [0, 1].

        Order: feature maps from fine to coarse; inside a map by row, column, then box of the cell.
        """
        levels = [self._level(level) for level in range(len(self.map_sizes))]
        return np.clip(np.concatenate(levels), 0, 1).astype(np.float32)

    def grids(self) -> list[AnchorGrid]:
        """The boxes of `xywh`, one grid per feature map."""
        centres = [
            np.clip((np.arange(cells) + 0.5) * step / self.image_size, 0, 1)
            for cells, step in zip(self.map_sizes, self.steps)
        ]
        return [
            AnchorGrid(np.clip(self.cell_sizes(level), 0, 1), centre, centre)
            for level, centre in enumerate(centres)
        ]

    def _level(self, level: int) -> np.ndarray:
        cells, sizes = self.map_sizes[level], self.cell_sizes(level)
        centre = (np.arange(cells) + 0.5) * self.steps[level] / self.image_size
        boxes = np.empty((cells, cells, len(sizes), 4))
        boxes[..., 0] = centre[None, :, None]
        boxes[..., 1] = centre[:, None, None]
        boxes[..., 2:] = sizes
        return boxes.reshape(-1, 4)


# The 8,732 default boxes of SSD300 on COCO, as in MLPerf's reference and DeepLearningExamples.
SSD300_COCO = DefaultBoxes(
    image_size=300,
    map_sizes=(38, 19, 10, 5, 3, 1),
    steps=(8, 16, 32, 64, 100, 300),
    scales=(21, 45, 99, 153, 207, 261, 315),
    ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
)
