"""The golden vectors: numbers of the public reference implementations, and the weights they belong to."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).resolve().parent / "data" / "golden"


def _seeded() -> Any:
    spec = importlib.util.spec_from_file_location("golden_seeded", GOLDEN / "seeded.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


seeded = _seeded()


def seeded_weights(name: str, seed: int = 1) -> dict[str, np.ndarray]:
    """The reference's state dictionary that ``NAME_names.json`` lists."""
    rows = json.loads((GOLDEN / f"{name}_names.json").read_text())
    rows = rows if isinstance(rows, list) else rows["names"]
    return seeded.seeded_state([(row["name"], row["shape"]) for row in rows], seed)


def relative_error(outputs: Any, key: str, value: np.ndarray) -> float:
    """Largest difference from the float64 reference, as a share of the largest absolute value."""
    assert tuple(outputs[f"{key}_shape"]) == value.shape
    difference = value.ravel()[outputs[f"{key}_index"]] - outputs[f"{key}_value64"]
    return float(np.abs(difference).max() / outputs[f"{key}_mean_std_absmax"][2])
