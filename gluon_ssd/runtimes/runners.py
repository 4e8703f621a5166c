"""Batches of inputs into padded detections, by a session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..data.batch import Target
from ..errors import UserError
from .source import Session

_SETTINGS = ("score_threshold", "max_detections")


class SessionRunner:
    """A file with detections as what `Detector` runs.

    ``settings``: what was asked for, without what was not. A file's threshold can be raised and its number of
    detections lowered: the best ones of an image are the same either way. Raises UserError for a file of raw
    outputs, and for settings that only another export could give.
    """

    target = Target()

    def __init__(self, session: Session, name: str, settings: Mapping[str, Any]) -> None:
        self._session, header = session, session.header
        if not header.detections:
            raise UserError(f"{name}: gives raw outputs; export it with --detections to detect with it")
        for key, value in settings.items():
            made = header.detections.get(key)
            too_much = value < made if key == "score_threshold" else key == "max_detections" and value > made
            if too_much or (key not in _SETTINGS and value != made):
                made = "its model's own" if made is None else made
                raise UserError(f"{name}: exported with {key} {made}, not {value}; export it anew for that")
        self._threshold = np.float32(settings.get("score_threshold", 0))
        self._most = settings.get("max_detections")
        height, width = header.preprocess.size
        self._scale = 1 / np.array([width, height, width, height], dtype=np.float32)
        self.header = header

    def detect(self, images: Any, layout: str = "NCHW") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Padded (class_ids, scores, boxes) of a batch, as a network post-processes them.

        ``images``: (N, 3, H, W) normalised, or what the file takes.
        """
        images = images if isinstance(images, np.ndarray) else images.asnumpy()
        if self.header.pixels and images.dtype != np.uint8:
            images = np.stack([self.header.preprocess.restore(image) for image in images])
        parts = [
            [output[:count] for output in self._session.run(np.ascontiguousarray(part))]
            for part, count in in_batches(images, self.header.batch or len(images))
        ]
        boxes, scores, class_ids, _ = (np.concatenate(arrays) for arrays in zip(*parts))
        class_ids = np.where(scores > self._threshold, class_ids, -1)
        most = self._most
        return class_ids[:, :most], scores[:, :most], boxes[:, :most] * self._scale


def in_batches(images: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """``size`` of the images at a time, and how many of them count: the last batch is filled up."""
    for start in range(0, len(images), size):
        part = images[start : start + size]
        yield np.concatenate([part, *[part[-1:]] * (size - len(part))]), len(part)
