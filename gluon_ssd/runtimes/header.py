"""What an exported file says of itself, as text by name: the part of a checkpoint that a deployment needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..data.preprocess import Preprocess
from ..errors import UserError

_FORMAT = "1"
_ASIDE = ("model", "best_threshold", "gluon_ssd_format")


@dataclass(frozen=True)
class Header:
    """Metadata of an exported network.

    ``pixels``: it takes uint8 (N, H, W, 3) RGB of the input size and normalises inside, not float32 (N, 3, H,
    W). ``batch``: images that go through together, None is any number. ``detections``: the settings that its
    detections are made with, empty where it gives raw outputs. ``best_threshold``: the score threshold of the
    best F1 in the training's last evaluation, None where there was none.
    ``notes``: versions, licence, and what the proof at export has measured, as text.
    """

    model: str
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    preprocess: Preprocess
    pixels: bool = False
    batch: int | None = None
    detections: Mapping[str, Any] = field(default_factory=dict)
    best_threshold: float | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def taken(self) -> str:
        """The type and shape of the input, in words."""
        (height, width), count = self.preprocess.size, self.batch or "N"
        if self.pixels:
            return f"uint8 ({count}, {height}, {width}, 3)"
        return f"float32 ({count}, 3, {height}, {width})"

    def to_text(self) -> dict[str, str]:
        """All of it as text, lists and numbers as JSON."""
        values = {
            "classes": list(self.classes),
            "category_ids": list(self.category_ids),
            **self.preprocess.to_dict(),
            "pixels": self.pixels,
            "batch": self.batch,
            "detections": dict(self.detections),
            "best_threshold": self.best_threshold,
        }
        text = {name: json.dumps(value) for name, value in values.items()}
        return {"gluon_ssd_format": _FORMAT, "model": self.model, **text, **self.notes}

    @classmethod
    def from_text(cls, found: Mapping[str, str], path: Any) -> Header:
        """Inverse of `to_text`. Raises UserError, naming ``path``, for a file of another maker."""
        if found.get("gluon_ssd_format") != _FORMAT:
            raise UserError(f"{path}: was not made by gluon-ssd export, or by a newer version of it")
        known = ("classes", "category_ids", "size", "mean", "std", "pixels", "batch", "detections")
        try:
            values = {name: json.loads(found[name]) for name in known}
            # Files of earlier versions lack it.
            best = json.loads(found.get("best_threshold", "null"))
            return cls(
                model=found["model"],
                classes=tuple(values["classes"]),
                category_ids=tuple(values["category_ids"]),
                preprocess=Preprocess.from_dict({name: values[name] for name in ("size", "mean", "std")}),
                pixels=bool(values["pixels"]),
                batch=values["batch"],
                detections=dict(values["detections"]),
                best_threshold=None if best is None else float(best),
                notes={k: v for k, v in found.items() if k not in (*known, *_ASIDE)},
            )
        except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise UserError(f"{path}: its metadata are damaged ({error}); export it again") from None
