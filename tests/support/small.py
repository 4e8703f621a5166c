"""Small data sets and helpers for the tests that go through the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np
from PIL import Image

TRAIN = ("train", "--recipe", "ssd_tiny/smoke", "--batch-size", 2, "--max-steps", 1, "--output", "run")


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture, uint8 (height, width, 3)."""
    coarse = np.random.RandomState(seed).randint(0, 256, (4, 4, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def write_set(root: Path, count: int = 4, size: tuple[int, int] = (64, 48), **changes: Any) -> Path:
    """A data set of ``count`` pictures with an object each, the same for both splits.

    ``changes`` replace parts of the annotation file.
    """
    width, height = size
    rows = [{"id": k, "file_name": f"{k}.jpg", "width": width, "height": height} for k in range(1, count + 1)]
    content: dict[str, Any] = {
        "images": rows,
        "annotations": [
            {"id": k, "image_id": k, "category_id": 1 + k % 2, "bbox": [0, 0, width, height]}
            for k in range(1, count + 1)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        **changes,
    }
    (root / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        (root / split).mkdir()
        for row in rows:
            cv2.imwrite(str(root / split / row["file_name"]), picture(width, height, row["id"]))
        (root / "annotations" / f"{split}.json").write_text(json.dumps(content))
    return root


def sound(root: Path, **changes: Any) -> Path:
    """Eight images, four a split, no picture twice."""
    write_set(root, **changes)
    for number in range(1, 5):
        Image.fromarray(picture(64, 48, 100 + number)).save(root / "val" / f"{number}.jpg")
    return root


def edit(root: Path, split: str, change: Callable[[Any], Any]) -> None:
    """Changes the content of an annotation file of `write_set`."""
    path = root / "annotations" / f"{split}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def files(folder: Path) -> dict[str, bytes]:
    """Every file under ``folder`` with its content, to see that nothing was touched."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    """Whether both have the same names, with equal arrays."""
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def refused(outcome: Any, *parts: str) -> None:
    """Asserts one line of error that has all ``parts``, and the status of a user's mistake."""
    assert outcome.status == 2, outcome
    assert outcome.err.startswith("error: "), outcome.err
    assert outcome.err.count("\n") == 1 and outcome.err.endswith("\n"), outcome.err
    missing = [part for part in parts if part not in outcome.err]
    assert not missing, (missing, outcome.err)
