"""Anchors: the default boxes of an SSD, and the anchors of a feature pyramid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .boxes import xywh_to_ltrb


@dataclass(frozen=True)
class DefaultBoxes:
    """The default boxes of one SSD, with all lengths in pixels of the network's square input.

    Every cell of feature map ``k`` has these boxes, in this order: a square with side ``scales[k]``; a square
    whose side is the geometric mean of ``scales[k]`` and ``scales[k + 1]``; and for each ratio ``a`` in
    ``ratios[k]`` a box of width ``scales[k] * sqrt(a)`` and height ``scales[k] / sqrt(a)``, then the same box
    with width and height exchanged. Cells are ``steps[k]`` pixels apart. Raises ValueError where the numbers
    of levels differ. The centres of a last row or column may lie outside the image; unless ``clip_centres``,
    as in torchvision, they stay there. Source: Liu et al., "SSD: Single Shot MultiBox Detector" (2016),
    section 2.2.
    """

    image_size: int
    map_sizes: tuple[int, ...]
    steps: tuple[float, ...]
    scales: tuple[float, ...]
    ratios: tuple[tuple[float, ...], ...]
    clip_centres: bool = True

    def __post_init__(self) -> None:
        levels = len(self.map_sizes)
        if not (len(self.steps) == len(self.ratios) == levels and len(self.scales) == levels + 1):
            raise ValueError(
                f"{levels} feature maps need {levels} steps, {levels} ratio tuples and {levels + 1} scales, "
                f"got {len(self.steps)}, {len(self.ratios)} and {len(self.scales)}"
            )

    @property
    def per_cell(self) -> tuple[int, ...]:
        """Returns the number of boxes per cell of each feature map."""
        return tuple(2 + 2 * len(ratios) for ratios in self.ratios)

    def cell_sizes(self, level: int) -> np.ndarray:
        """Returns (boxes per cell, 2) float64, the widths and heights in fractions of the image."""
        # The last map needs a scale beyond its own here, so there is one scale more than there are maps.
        small, large = (scale / self.image_size for scale in self.scales[level : level + 2])
        sizes = [(small, small), (np.sqrt(small * large),) * 2]
        for ratio in self.ratios[level]:
            wide = (small * np.sqrt(ratio), small / np.sqrt(ratio))
            sizes += [wide, wide[::-1]]
        return np.array(sizes)

    def xywh(self) -> np.ndarray:
        """Returns (A, 4) float32 xywh in fractions of the image, clipped to [0, 1].

        Without ``clip_centres`` only the sizes are clipped.

        The boxes are in the order of feature map, from fine to coarse, then row, column and box of the cell.
        """
        boxes = np.concatenate([self._level(level) for level in range(len(self.map_sizes))])
        # The references clip centre and size, not the corners, so a box may still reach beyond the image.
        first = 0 if self.clip_centres else 2
        boxes[:, first:] = np.clip(boxes[:, first:], 0, 1)
        return boxes.astype(np.float32)

    def ltrb(self, height: int, width: int) -> np.ndarray:
        """Returns (A, 4) float32 ltrb in pixels of an input of this size, in the order of `xywh`."""
        return xywh_to_ltrb(self.xywh()) * np.array([width, height, width, height], dtype=np.float32)

    def _level(self, level: int) -> np.ndarray:
        """Returns (boxes of the map, 4) float64 xywh in fractions of the image, not clipped."""
        cells, sizes = self.map_sizes[level], self.cell_sizes(level)
        # The step is not the image's side over the cells: SSD300's finest map has 38 cells of 8 pixels, 304.
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
# The 15,130 default boxes of MLPerf Inference's SSD on 1200x1200: those of SSD300, on other maps.
_MAPS_1200 = (50, 25, 13, 7, 3, 3)
SSD1200_COCO = DefaultBoxes(
    image_size=1200,
    map_sizes=_MAPS_1200,
    steps=tuple(1200 / cells for cells in _MAPS_1200),
    scales=tuple(4 * scale for scale in SSD300_COCO.scales),
    ratios=SSD300_COCO.ratios,
)


def _octave(base: int) -> tuple[int, int, int]:
    """Returns three sizes a third of an octave apart, rounded down to whole pixels as in the references."""
    return base, int(base * 2 ** (1 / 3)), int(base * 2 ** (2 / 3))


@dataclass(frozen=True)
class RetinaAnchors:
    """The anchors of a feature pyramid, for an input of any size.

    ``sizes`` holds, per level, the sides of its square anchors in pixels; ``ratios`` are heights over widths;
    ``first_level`` says how often the input is halved down to the finest map. As in the references, half the
    width and half the height of an anchor are rounded to whole pixels, the first cell is centred on (0, 0),
    and the step between cells is the side of the input divided by that of the map, rounded down. Source: Lin
    et al., "Focal Loss for Dense Object Detection" (2017), section 4; MLPerf's training reference.
    """

    sizes: tuple[tuple[int, ...], ...] = tuple(_octave(base) for base in (32, 64, 128, 256, 512))
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    first_level: int = 3

    @property
    def per_cell(self) -> int:
        """Returns the number of anchors per cell, which is the same on every level."""
        return len(self.sizes[0]) * len(self.ratios)

    def map_sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Returns (rows, columns) of every level's map for an input of this size."""
        # Rounding up once equals rounding up at every halving, as the network's strided layers do.
        halvings = range(self.first_level, self.first_level + len(self.sizes))
        return [(-(-height // 2**k), -(-width // 2**k)) for k in halvings]

    def level_counts(self, height: int, width: int) -> list[int]:
        """Returns the number of anchors on every level for an input of this size."""
        return [rows * columns * self.per_cell for rows, columns in self.map_sizes(height, width)]

    def cell(self, level: int) -> np.ndarray:
        """Returns (per_cell, 4) float32 ltrb in pixels, the anchors of a level around (0, 0).

        They are in the order of ratio, then size.
        """
        # Height over width is the ratio, and the area is that of the square whatever the ratio.
        height_factor = np.sqrt(np.array(self.ratios, dtype=np.float32))
        sizes = np.array(self.sizes[level], dtype=np.float32)
        height = (height_factor[:, None] * sizes).ravel()
        width = ((1 / height_factor)[:, None] * sizes).ravel()
        half: np.ndarray = np.round(np.stack([width, height], axis=1) / 2)
        return np.concatenate([-half, half], axis=1)

    def ltrb(self, height: int, width: int) -> np.ndarray:
        """Returns (A, 4) float32 ltrb in pixels of an input of this size, not clipped.

        The anchors are in the order of level, from fine to coarse, then row, column and anchor of the cell.
        """
        levels = []
        for level, (rows, columns) in enumerate(self.map_sizes(height, width)):
            y = np.arange(rows, dtype=np.float32) * (height // rows)
            x = np.arange(columns, dtype=np.float32) * (width // columns)
            # The product repeats the two arrays: x, y, x, y, to shift left, top, right and bottom.
            shifts = np.stack(np.broadcast_arrays(x[None, :], y[:, None]) * 2, axis=-1)
            levels.append((shifts.reshape(-1, 1, 4) + self.cell(level)).reshape(-1, 4))
        return np.concatenate(levels)
