"""The references' numbers that the tests are held against, and the weights and inputs they were made with."""

from __future__ import annotations

import json
from typing import Any

import golden_seeded as seeded
import numpy as np
from places import VECTORS

__all__ = [
    "load_golden",
    "padded",
    "reference_names",
    "relative_error",
    "seeded",
    "seeded_weights",
    "to_size_major",
]

FOLDER = VECTORS / "golden"


def load_golden(name: str) -> Any:
    return np.load(FOLDER / f"{name}.npz")


def reference_names(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((FOLDER / f"{name}_names.json").read_text())
    return rows


def seeded_weights(name: str, seed: int = 1) -> dict[str, np.ndarray]:
    return seeded.seeded_state([(row["name"], row["shape"]) for row in reference_names(name)], seed)


def padded(objects: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Reference objects, labels from 1, as a batch: boxes (B, M, 4), labels (B, M) from 0 with -1 padding."""
    most = max(1, max(len(labels) for _, labels in objects))
    boxes = np.zeros((len(objects), most, 4), np.float32)
    labels = np.full((len(objects), most), -1, np.int32)
    for row, (some, names) in enumerate(objects):
        boxes[row, : len(names)], labels[row, : len(names)] = some, names - 1
    return boxes, labels


def permutation() -> np.ndarray:
    """Our order of default boxes in terms of the references': ours[i] = theirs[permutation[i]]."""
    return load_golden("default_boxes")["spatial_major_perm"].astype(np.int64)


def to_size_major(array: np.ndarray, axis: int = 0) -> np.ndarray:
    """From our order of default boxes to the references'."""
    return np.take(array, np.argsort(permutation()), axis=axis)


def relative_error(outputs: Any, key: str, value: np.ndarray) -> float:
    """Largest difference from the float64 reference, as a share of the largest absolute value."""
    assert tuple(outputs[f"{key}_shape"]) == value.shape
    difference = value.ravel()[outputs[f"{key}_index"]] - outputs[f"{key}_value64"]
    return float(np.abs(difference).max() / outputs[f"{key}_mean_std_absmax"][2])
