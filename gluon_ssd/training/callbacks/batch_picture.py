"""train_batch.jpg: the first batch of a training as the network sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...data.batch import Batch
from ...report.draw import contact_sheet, draw_boxes, sheet_font
from ...report.picture_file import write_picture
from .base import Callback, RunInfo, TrainBatch


class BatchPicture(Callback):
    """Draws the first batch of a run."""

    def started(self, info: RunInfo) -> None:
        self._net, self._path = info.net, info.run_dir / "train_batch.jpg"
        # A run that goes on has its picture already.
        self._wanted = not info.resumed

    def batch_started(self, batch: TrainBatch) -> None:
        if self._wanted:
            self._wanted = False
            write_batch_picture(batch.data, self._net, self._path)


def write_batch_picture(batch: Batch, net: Any, path: Path) -> None:
    """Draws `batch_picture` into a JPEG."""
    write_picture(batch_picture(batch, net), path)


def batch_picture(batch: Batch, net: Any, most: int = 16) -> np.ndarray:
    """Returns the first ``most`` images of a training batch with their boxes, as augmented; RGB uint8."""
    pictures = []
    for image, boxes, labels in zip(batch.pictures()[:most], batch.boxes, batch.labels):
        # Rows beyond an image's objects have the label -1.
        picture, real = net.preprocess.restore(image), labels >= 0
        height, width = picture.shape[:2]
        pixels = boxes[real] * np.array([width, height, width, height])
        names = [net.classes[label] for label in labels[real]]
        size = sheet_font(picture, net.input_size)
        pictures.append(draw_boxes(picture, pixels, names, class_ids=labels[real], font_size=size))
    return contact_sheet(pictures, columns=4, cell=net.input_size)
