"""Small COCO data sets written into a temporary folder."""

from __future__ import annotations

import gc
import json
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture, so that JPEG keeps it nearly as it is."""
    coarse = np.random.RandomState(seed).randint(0, 256, (4, 4, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def coco_folder(tmp_path):
    """Write a data set; returns a function whose keywords replace parts of the annotation file."""

    def write(
        boxes: Any = ((1, 1, 10, 20, 15, 5), (2, 3, 0, 0, 64, 48)), count: int = 3, **changes: Any
    ) -> Path:
        root = tmp_path / "set"
        (root / "annotations").mkdir(parents=True, exist_ok=True)
        (root / "train").mkdir(exist_ok=True)
        rows = [{"id": k + 1, "file_name": f"{k + 1}.jpg", "width": 64, "height": 48} for k in range(count)]
        for row in rows:
            cv2.imwrite(str(root / "train" / row["file_name"]), picture(64, 48, row["id"]))
        content: dict[str, Any] = {
            "images": rows,
            "annotations": [
                {"id": k + 1, "image_id": image, "category_id": category, "bbox": list(box)}
                for k, (image, category, *box) in enumerate(boxes)
            ],
            "categories": [{"id": 3, "name": "dog"}, {"id": 1, "name": "cat"}],
        }
        content.update(changes)
        (root / "annotations" / "train.json").write_text(json.dumps(content))
        return root

    return write


@pytest.fixture
def no_threads_left():
    """Fails a test that leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    # An interrupt that comes while a thread starts leaves it to end by itself, which it does at once.
    deadline = time.monotonic() + 10
    while not set(threading.enumerate()) <= before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before
