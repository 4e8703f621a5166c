"""What a loader yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np


@dataclass
class Batch:
    """One batch, all NumPy.

    ``images`` float32 (B, 3, H, W), normalised, contiguous; ``boxes`` float32 (B, M, 4), ltrb fractions of
    the image, 0 in the rows beyond an image's objects; ``labels`` int32 (B, M), 0-based class index, -1 in
    those rows; M is at least 1. ``image_ids`` int64 (B,); ``sizes`` int32 (B, 2), the original height and
    width. ``targets`` is what the loader's encoder returned, None without one.
    """

    images: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    image_ids: np.ndarray
    sizes: np.ndarray
    targets: Any = None

    def __len__(self) -> int:
        return len(self.images)


def pad_objects(objects: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Stack per-image (boxes, labels) to ``boxes`` (B, M, 4) and ``labels`` (B, M), padded by 0 and -1."""
    most = max([1] + [len(labels) for _, labels in objects])
    boxes = np.zeros((len(objects), most, 4), np.float32)
    labels = np.full((len(objects), most), -1, np.int32)
    for row, (some_boxes, some_labels) in enumerate(objects):
        boxes[row, : len(some_labels)] = some_boxes
        labels[row, : len(some_labels)] = some_labels
    return boxes, labels
