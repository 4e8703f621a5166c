"""Anchors of RetinaNet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anchors import AnchorGrid


def _octave(base: int) -> tuple[int, int, int]:
    """Three sizes a third of an octave apart, in whole pixels."""
    return base, int(base * 2 ** (1 / 3)), int(base * 2 ** (2 / 3))


@dataclass(frozen=True)
class RetinaAnchors:
    """The anchors of a pyramid, for an input of any size: ``anchors(height, width)``.

    ``sizes``: per level, the side of a square anchor in pixels; ``ratios``: height over width;
    ``first_level``: how often the finest map is halved against the input. As in the references, an anchor's
    half sides are rounded to whole pixels, the first cell is centred on (0, 0), and the step between cells
    is the input's side divided by the map's, rounded down. Source: Lin et al., "Focal Loss for Dense Object
    Detection" (2017), section 4; MLPerf's training reference.
    """

    sizes: tuple[tuple[int, ...], ...] = tuple(_octave(base) for base in (32, 64, 128, 256, 512))
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    first_level: int = 3

    @property
    def per_cell(self) -> int:
        """Anchors per cell, the same on every level."""
        return len(self.sizes[0]) * len(self.ratios)

    def map_sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """(rows, columns) of every level's map for an input of this size."""
        halvings = range(self.first_level, self.first_level + len(self.sizes))
        return [(-(-height // 2**k), -(-width // 2**k)) for k in halvings]

    def level_counts(self, height: int, width: int) -> list[int]:
        """Anchors of every level for an input of this size."""
        return [rows * columns * self.per_cell for rows, columns in self.map_sizes(height, width)]

    def cell(self, level: int) -> np.ndarray:
        """(per_cell, 4) float32 ltrb of the anchors round (0, 0): ratio by ratio, sizes inside."""
        height_factor = np.sqrt(np.array(self.ratios, dtype=np.float32))
        sizes = np.array(self.sizes[level], dtype=np.float32)
        height = (height_factor[:, None] * sizes).ravel()
        width = ((1 / height_factor)[:, None] * sizes).ravel()
        half: np.ndarray = np.round(np.stack([width, height], axis=1) / 2)
        return np.concatenate([-half, half], axis=1)

    def __call__(self, height: int, width: int) -> np.ndarray:
        """(A, 4) float32 ltrb pixels, not clipped; by level from fine to coarse, row, column, anchor."""
        levels = []
        for level, (rows, columns) in enumerate(self.map_sizes(height, width)):
            y = np.arange(rows, dtype=np.float32) * (height // rows)
            x = np.arange(columns, dtype=np.float32) * (width // columns)
            shifts = np.stack(np.broadcast_arrays(x[None, :], y[:, None]) * 2, axis=-1)
            levels.append((shifts.reshape(-1, 1, 4) + self.cell(level)).reshape(-1, 4))
        return np.concatenate(levels)

    def grids(self, height: int, width: int) -> list[AnchorGrid]:
        """The anchors of an input of this size, in fractions of it, one grid per level."""
        grids = []
        for level, (rows, columns) in enumerate(self.map_sizes(height, width)):
            cell = self.cell(level).astype(np.float64)
            x = np.arange(columns) * (width // columns) / width
            y = np.arange(rows) * (height // rows) / height
            grids.append(AnchorGrid((cell[:, 2:] - cell[:, :2]) / [width, height], x, y))
        return grids
