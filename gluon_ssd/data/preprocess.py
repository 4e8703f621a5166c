"""How a picture becomes the network's input. The settings are saved with the weights and need only NumPy."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError, unknown
from ..values import shown

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# No picture is larger, and a file that tells of more would take all of the memory.
_MOST = 1 << 16


@functools.lru_cache(maxsize=16)
def _table(mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """The network's input for each of the 256 levels of a channel, float32 (3, 256), computed once."""
    levels = np.arange(256, dtype=np.float64) / 255.0
    # In float64 and rounded once, so that the result is the nearest float32 to the exact value.
    table = (levels - np.array(mean)[:, None]) / np.array(std)[:, None]
    result: np.ndarray = np.ascontiguousarray(table, dtype=np.float32)
    result.setflags(write=False)
    return result


def _numbers(name: str, values: Any, length: int) -> tuple[float, ...]:
    """Returns the values of a field as numbers. Raises UserError where there are others."""
    kind = int if name == "size" else float
    try:
        numbers = tuple(kind(item) for item in values)
        if len(numbers) == length and all(map(math.isfinite, numbers)):
            return numbers
    except (TypeError, ValueError, OverflowError):
        pass
    raise UserError(f"preprocess: {name} needs {length} numbers, got {shown(values)}")


@dataclass(frozen=True)
class Preprocess:
    """Input size and normalisation of a network.

    ``size`` is (height, width) in pixels; ``mean`` and ``std`` are per RGB channel for values in 0..1, by
    default those of ImageNet. The network's input is ``(value / 255 - mean) / std``, channels first, float32.
    Raises UserError for a size that is not positive or a ``std`` of zero.
    """

    size: tuple[int, int] = (300, 300)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        for name, length in (("size", 2), ("mean", 3), ("std", 3)):
            # Checkpoints and JSON bring lists; tuples make the object hashable, so that tables can be cached
            # by it.
            object.__setattr__(self, name, _numbers(name, getattr(self, name), length))
        if min(self.size) < 1 or min(self.std) <= 0:
            raise UserError(f"preprocess: size {self.size} and std {self.std} must be positive")
        if max(self.size) > _MOST:
            raise UserError(f"preprocess: size {self.size} is more than {_MOST} pixels")

    def table(self) -> np.ndarray:
        """Returns the network's input for each uint8 level of each channel: float32 (3, 256), read-only."""
        return _table(self.mean, self.std)

    def restore(self, image: np.ndarray) -> np.ndarray:
        """Turns a normalised float32 (3, H, W) input back into a uint8 (H, W, 3) RGB picture, for drawing."""
        scaled = image.astype(np.float64).transpose(1, 2, 0) * self.std + self.mean
        restored: np.ndarray = np.clip(np.rint(scaled * 255), 0, 255).astype(np.uint8)
        return restored

    def to_dict(self) -> dict[str, list[float]]:
        """Returns the fields as plain lists, for a checkpoint or JSON."""
        return {"size": list(self.size), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """Builds a Preprocess from what ``to_dict`` returned.

        A missing key takes its default. Raises UserError for an unknown key.
        """
        for name in values:
            if name not in ("size", "mean", "std"):
                raise unknown("preprocess field", name, ("size", "mean", "std"))
        return cls(**values)
