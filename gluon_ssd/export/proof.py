"""Whether what was exported computes what the network does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mxnet as mx
import numpy as np

from ..data.images import ImageLike, resize_image, rgb_pixels
from ..data.shapes import make_picture
from ..data.transforms import normalise
from ..errors import UserError
from ..runtimes.runners import SessionRunner, in_batches
from ..runtimes.source import Session
from .sources import Options

# Largest difference of a raw output, as a share of the largest value of it; of a score; of a box, as a share
# of the image.
OUTPUT_LIMIT, SCORE_LIMIT, BOX_LIMIT = 1e-4, 1e-3, 1e-3
# Rounding can turn a comparison with a threshold, and then a detection is there in one result alone.
LOST_SHARE = 0.005
# Scores that are nearer than this are in no order that rounding could not change.
TIE = 1e-5
# Pictures that are made, and the most of those that were given which are compared.
MADE, MOST = 8, 32


@dataclass(frozen=True)
class Proof:
    """What was measured. ``outputs``: differences by name; ``same`` of ``total`` detections agree."""

    runtime: str
    images: int
    outputs: dict[str, float]
    same: int
    total: int

    @property
    def problem(self) -> str | None:
        """What is beyond its limit, None where nothing is."""
        for name, difference in self.outputs.items():
            if not difference <= OUTPUT_LIMIT:
                return f"{name} differs by {difference:.1e} of its largest value, the limit is {OUTPUT_LIMIT}"
        if self.total - self.same > max(1, LOST_SHARE * self.total):
            return f"only {self.same} of {self.total} detections are the same"
        return None

    def __str__(self) -> str:
        parts = [f"{name} {difference:.1e}" for name, difference in self.outputs.items()]
        text = f"{self.runtime}, {self.images} images, largest difference as a share of the largest value: "
        text += ", ".join(parts)
        return text + (f"; {self.same} of {self.total} detections the same" if self.total else "")


def made_pictures(count: int = MADE) -> list[np.ndarray]:
    """Pictures of shapes, uint8 (H, W, 3) RGB, the same each time: there are no others that all may use."""
    return [make_picture(np.random.default_rng(seed))[0] for seed in range(count)]


def pictures_of(options: Options) -> list[ImageLike]:
    """The pictures that an export is compared on."""
    return list(options.images or made_pictures())[:MOST]


def prepared(net: Any, images: Sequence[ImageLike]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as uint8 (N, H, W, 3) of the input's size, and as the network's float32 input."""
    pixels = np.stack([resize_image(rgb_pixels(image), net.preprocess.size) for image in images])
    inputs = np.empty((len(pixels), 3, *net.preprocess.size), np.float32)
    for picture, out in zip(pixels, inputs):
        normalise(picture, net.preprocess, out)
    return pixels, inputs


class Reference:
    """What the network computes of the pictures, two at a time."""

    def __init__(self, net: Any, images: Sequence[ImageLike]) -> None:
        self.net = net
        self.pixels, self.inputs = prepared(net, images)
        parts = [
            [output.asnumpy() for output in net(mx.nd.array(self.inputs[start : start + 2]))]
            for start in range(0, len(self.inputs), 2)
        ]
        self.outputs = [np.concatenate(arrays) for arrays in zip(*parts)]

    def detections(self, settings: Any) -> list[np.ndarray]:
        """Padded class_ids, scores and boxes of the outputs."""
        block = self.net.postprocess(self.net.preprocess.size, **settings)
        block.initialize()
        return [found.asnumpy() for found in block(*[mx.nd.array(output) for output in self.outputs])]

    def differences(self, session: Session) -> dict[str, float]:
        """Largest difference of each raw output, as a share of the largest value."""
        parts = [
            [output[:count] for output in session.run(images)]
            for images, count in in_batches(self.images_for(session), session.header.batch or 2)
        ]
        found = [np.concatenate(arrays) for arrays in zip(*parts)]
        return dict(zip(session.output_names, map(difference, found, self.outputs)))

    def agreement(self, session: Session) -> tuple[int, int]:
        """How many detections are the same, and how many there are of the side that has more."""
        wanted = self.detections(session.header.detections)
        runner = SessionRunner(session, "", {})
        same = total = 0
        rows = zip(*wanted)
        for images, count in in_batches(self.images_for(session), session.header.batch or 2):
            for second in list(zip(*runner.detect(images)))[:count]:
                matched, most = same_detections(next(rows), second)
                same, total = same + matched, total + most
        return same, total

    def images_for(self, session: Session) -> np.ndarray:
        """The pictures as ``session`` takes them."""
        return self.pixels if session.header.pixels else self.inputs


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, as a share of the largest value that is wanted."""
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-30))


def same_detections(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> tuple[int, int]:
    """How many detections of one image two results share, and how many the one with more should share.

    Each: padded class_ids (D,), scores (D,) and boxes (D, 4), ltrb fractions. Those of nearly the same score
    may stand in another order, and where they differ they do not count: rounding decides which of them are
    kept. A network that has hardly learnt has many.
    """
    one, other = ([array[result[0] >= 0] for array in result] for result in (first, second))
    lone, free = (np.ones(len(result[0]), dtype=bool) for result in (one, other))
    for index, (class_id, score, box) in enumerate(zip(*one)):
        near = free & (other[0] == class_id) & (np.abs(other[1] - score) <= SCORE_LIMIT)
        near &= np.abs(np.clip(other[2], 0, 1) - np.clip(box, 0, 1)).max(axis=1, initial=0) <= BOX_LIMIT
        if near.any():
            lone[index] = free[np.argmax(near)] = False
    matched = int(len(lone) - lone.sum())
    return matched, matched + max(_clear(one[1], lone), _clear(other[1], free))


def _clear(scores: np.ndarray, which: np.ndarray) -> int:
    """How many of the chosen detections have a score of their own."""
    apart = np.abs(scores[which][:, None] - scores[None, :]) > TIE
    return int((apart.sum(axis=1) == len(scores) - 1).sum())


def require(proof: Proof, path: Any) -> None:
    """Raises UserError where the proof has failed."""
    if proof.problem is not None:
        raise UserError(f"{path}: not written, its results are not the network's: {proof.problem}")
