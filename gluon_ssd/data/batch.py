"""What a loader yields: batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Target:
    """Where batches are used: MXNet's device, and the layout and type of images that suit it best.

    The native loader makes float32 NCHW in any case.
    """

    device: str = "cpu"
    device_id: int = 0
    layout: str = "NCHW"
    dtype: str = "float32"


@dataclass
class Batch:
    """One batch.

    ``images`` (B, 3, H, W) are normalised and contiguous: float32 NumPy from the native loader. DALI's are an
    NDArray on their device, float32 or float16, in ``layout`` NCHW or NHWC, and may have a fourth channel of
    zeros. The rest is NumPy. ``boxes`` float32 (B, M, 4) are ltrb fractions of the image, 0 in the rows
    beyond an image's objects. ``labels`` int32 (B, M) are class indices from 0, and -1 in those rows; M is at
    least 1. ``image_ids`` is int64 (B,); ``sizes`` int32 (B, 2) is the original height and width. ``targets``
    is what the loader's encoder returned, None without one.
    """

    images: Any
    boxes: np.ndarray
    labels: np.ndarray
    image_ids: np.ndarray
    sizes: np.ndarray
    targets: Any = None
    layout: str = "NCHW"

    def __len__(self) -> int:
        return len(self.images)

    def pictures(self) -> np.ndarray:
        """Returns the images as float32 NumPy (B, 3, H, W), whatever they are stored in.

        This waits for the device.
        """
        array = self.images if isinstance(self.images, np.ndarray) else self.images.asnumpy()
        if self.layout == "NHWC":
            array = array.transpose(0, 3, 1, 2)
        result: np.ndarray = array[:, :3].astype(np.float32, copy=False)
        return result


def pad_objects(objects: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Stacks the (boxes, labels) of images to arrays (B, M, 4) and (B, M), padded by 0 and -1."""
    # At least one row, because MXNet takes a side of 0 for one that is not known.
    most = max([1] + [len(labels) for _, labels in objects])
    boxes = np.zeros((len(objects), most, 4), np.float32)
    labels = np.full((len(objects), most), -1, np.int32)
    for row, (some_boxes, some_labels) in enumerate(objects):
        boxes[row, : len(some_labels)] = some_boxes
        labels[row, : len(some_labels)] = some_labels
    return boxes, labels
