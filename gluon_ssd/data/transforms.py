"""From a record to the network's input and the boxes that belong to it.

A transform first decides what to cut, mirror and recolour, from sizes and boxes alone: that is a ``Plan``.
Only then is the picture decoded, as small as the plan allows, and rendered into the batch's memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Callable

import cv2
import numpy as np

from . import crop
from .colour import JITTERS, Colour, ColourJitter, recolour
from .images import choose_reduction, is_jpeg, resize_image
from .preprocess import Preprocess
from .records import Record

Objects = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Plan:
    """What to do with one picture: the frame to cut (ltrb pixels), whether to mirror, how to recolour."""

    frame: crop.Frame
    mirror: bool = False
    colour: Colour | None = None


class EvalTransform:
    """Resizes the whole picture to the network's input and normalises it; nothing is random.

    The aspect ratio is not kept, as in SSD (Liu et al. 2016). It also serves for training without
    augmentation.
    """

    def __init__(self, preprocess: Preprocess | None = None) -> None:
        self.preprocess = preprocess or Preprocess()

    def plan(self, width: int, height: int, boxes: np.ndarray, rng: np.random.Generator) -> Plan:
        """Returns the plan for a picture of this size with these objects, float (n, 4) ltrb pixels."""
        return Plan((0, 0, width, height))

    def __call__(
        self,
        image: np.ndarray,
        boxes: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        rng: np.random.Generator | None = None,
        out: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Transforms a picture in memory.

        ``image`` is RGB uint8 (H, W, 3); ``boxes`` are float (n, 4) ltrb pixels, ``labels`` (n,). Without
        ``rng`` the random choices are those of seed 0.

        Returns the input float32 (3, h, w), written into ``out`` when that is given; the kept boxes float32
        (m, 4) as ltrb fractions of the result; and their labels int32 (m,).
        """
        boxes = np.zeros((0, 4), np.float32) if boxes is None else boxes
        labels = np.zeros(len(boxes), np.int32) if labels is None else labels
        height, width = image.shape[:2]
        plan = self.plan(width, height, boxes, rng or np.random.default_rng(0))
        out = self.empty() if out is None else out
        self._render(_cut(image, plan.frame), plan, out)
        return (out, *follow(plan, boxes, labels))

    def load(self, record: Record, rng: np.random.Generator, out: np.ndarray) -> Objects:
        """Reads a record's picture into ``out``, float32 (3, h, w), and returns its boxes and labels.

        Boxes and labels are as ``__call__`` returns them, without those of crowd regions. Raises UserError,
        naming the file, for a picture that cannot be read or is not of the record's size.
        """
        boxes, labels = record.objects()
        plan = self.plan(record.width, record.height, boxes, rng)
        data = record.read()
        # A JPEG decodes at a half, a quarter or an eighth of its size in a fraction of the time. The plan is
        # known by now, so that no more pixels are decoded than the crop needs.
        step = self._reduction(plan.frame, record) if is_jpeg(data) else 1
        image = record.decode(data, step)
        # The frame is widened to whole pixels of the reduced picture, and the boxes follow the frame that is
        # really cut.
        left, top = (side // step for side in plan.frame[:2])
        right, bottom = (-(-side // step) for side in plan.frame[2:])
        plan = replace(plan, frame=(left * step, top * step, right * step, bottom * step))
        self._render(_cut(image, (left, top, right, bottom)), plan, out)
        return follow(plan, boxes, labels)

    def _reduction(self, frame: crop.Frame, record: Record) -> int:
        """Returns the largest reduction that leaves the frame enough pixels for the network's input."""
        left, top, right, bottom = frame
        step = choose_reduction((bottom - top, right - left), self.preprocess.size)
        # The size has to be a multiple of the step: a last pixel that is only partly picture would shift all
        # others by a fraction of a pixel.
        while record.width % step or record.height % step:
            step //= 2
        return step

    def empty(self) -> np.ndarray:
        """Returns memory for one input: float32 (3, h, w), not initialised."""
        return np.empty((3, *self.preprocess.size), np.float32)

    def _render(self, image: np.ndarray, plan: Plan, out: np.ndarray) -> None:
        # Resized first, so that mirroring and colour work on the few pixels of the input.
        image = resize_image(image, self.preprocess.size)
        if plan.mirror:
            image = cv2.flip(image, 1)
        if plan.colour is not None:
            image = recolour(image, plan.colour)
        normalise(image, self.preprocess, out)


# Training without augmentation is the evaluation transform under the name one looks for.
PlainTrainTransform = EvalTransform


class FlipTrainTransform(EvalTransform):
    """RetinaNet's training augmentation: the whole picture, mirrored with probability ``mirror``, resized.

    The aspect ratio is not kept: every input has the network's size, as in MLPerf's RetinaNet.
    """

    def __init__(self, preprocess: Preprocess | None = None, *, mirror: float = 0.5) -> None:
        super().__init__(preprocess)
        self.mirror = mirror

    def plan(self, width: int, height: int, boxes: np.ndarray, rng: np.random.Generator) -> Plan:
        return replace(super().plan(width, height, boxes, rng), mirror=bool(rng.random() < self.mirror))


class SSDTrainTransform(EvalTransform):
    """SSD's training augmentation: random crop, resize, mirror, colour jitter, normalise.

    The crop is that of Liu et al. 2016 (see ``crop.random_crop``). An object stays when its centre is inside
    the crop, and its box is cut to the crop. The picture is mirrored with probability ``mirror``; a
    ``jitter`` of None leaves the colours alone. ``attempts`` is the number of crops tried per option: 50 in
    the paper's code, 1 in MLPerf's reference.
    """

    def __init__(
        self,
        preprocess: Preprocess | None = None,
        *,
        attempts: int = crop.ATTEMPTS,
        mirror: float = 0.5,
        jitter: ColourJitter | None = ColourJitter(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(preprocess)
        self.attempts = attempts
        self.mirror = mirror
        self.jitter = jitter

    def plan(self, width: int, height: int, boxes: np.ndarray, rng: np.random.Generator) -> Plan:
        frame = crop.random_crop(width, height, boxes, rng, self.attempts)
        mirror = bool(rng.random() < self.mirror)
        return Plan(frame, mirror, self.jitter.draw(rng) if self.jitter else None)


# One try per crop option, as the published trainings do.
AUGMENTATIONS: dict[str, Callable[[Preprocess], EvalTransform]] = {
    "ssd": partial(SSDTrainTransform, attempts=1),
    "flip": FlipTrainTransform,
    "none": PlainTrainTransform,
}


def training_transform(augment: str, preprocess: Preprocess, colour: str = "reference") -> EvalTransform:
    """Returns the augmentation of this name, one of AUGMENTATIONS, with the named colour jitter."""
    transform = AUGMENTATIONS[augment](preprocess)
    if isinstance(transform, SSDTrainTransform):
        transform.jitter = JITTERS[colour]
    return transform


def crop_attempts(augment: str) -> int | None:
    """Returns how often this augmentation tries each option of a random crop; None where it does not crop."""
    return getattr(AUGMENTATIONS[augment], "keywords", {}).get("attempts")


def follow(plan: Plan, boxes: np.ndarray, labels: np.ndarray) -> Objects:
    """Returns the boxes and labels of the objects that are left after a plan.

    ``boxes`` are ltrb pixels of the picture. Those that are centred inside the plan's frame stay, as float32
    ltrb fractions of the frame, cut to it; their labels are int32.
    """
    frame = np.array(plan.frame, np.float64)
    inside = crop.centres_inside(frame, boxes)
    boxes, labels = boxes[inside], labels[inside]
    size = np.tile(frame[2:] - frame[:2], 2)
    moved = np.clip((boxes - np.tile(frame[:2], 2)) / size, 0, 1)
    if plan.mirror:
        moved[:, [0, 2]] = 1 - moved[:, [2, 0]]
    moved = moved.astype(np.float32)
    # A sliver may vanish in the rounding; its logarithm would be minus infinity in the box coder.
    sized = (moved[:, 2:] > moved[:, :2]).all(axis=1)
    return moved[sized], labels[sized].astype(np.int32)


def normalise(image: np.ndarray, preprocess: Preprocess, out: np.ndarray) -> None:
    """Writes an RGB uint8 (h, w, 3) picture into ``out``, float32 (3, h, w), as the network wants it."""
    # A pixel has one of 256 values, so the division and subtraction are a look-up in a table, done by OpenCV
    # without temporary arrays.
    for plane, table, target in zip(cv2.split(image), preprocess.table(), out):
        cv2.LUT(plane, table, target)


def _cut(image: np.ndarray, frame: crop.Frame) -> np.ndarray:
    left, top, right, bottom = frame
    return image[top:bottom, left:right]
