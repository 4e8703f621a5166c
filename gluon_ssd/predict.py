"""The detector: a trained network that is called on images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from numbers import Integral, Real
from typing import Any

import mxnet as mx
import numpy as np
from PIL import Image

from .data.images import ImageLike, rgb_pixels
from .data.transforms import EvalTransform
from .detections import Detection, Detections
from .errors import UserError
from .model_zoo import as_detector
from .model_zoo.base import Network
from .model_zoo.fused import can_fuse, fused_copy
from .values import Bounds
from .weights.loading import load as load

__all__ = ["Detection", "Detections", "Detector", "load"]

# By option: its type, how a message calls that, and the values that are allowed.
_OPTIONS: dict[str, tuple[type, str, Bounds]] = {
    "score_threshold": (Real, "a number", Bounds(low=0, below=1)),
    "iou_threshold": (Real, "a number", Bounds(above=0, high=1)),
    "max_detections": (Integral, "an integer", Bounds(low=1)),
    "nms_candidates": (Integral, "an integer", Bounds(low=1)),
    "batch_size": (Integral, "an integer", Bounds(low=1)),
}


class Detector:
    """Finds objects on images.

    ``source`` is a network of the zoo, or its run folder or checkpoint as `load` takes it. Detections with a
    score below ``score_threshold`` are dropped. Of two boxes of a class that overlap more than
    ``iou_threshold``, the one of lower score is dropped. ``max_detections`` is the largest number of
    detections on one image. ``batch_size`` is the number of images that go through the network together.
    With ``fuse`` the detector works on a copy whose norms are folded into the convolutions. This is a little
    faster on a CPU in float32 and has no effect elsewhere; later changes of the network do not reach the
    copy. ``nms_candidates`` is the number of best pairs of box and class that NMS sees, of an image, or for a
    RetinaNet of each of its levels; None stands for the number of the family.

    ``score_threshold="best"`` is the threshold of the best F1 in the last evaluation of the checkpoint's
    training. Raises UserError for an option out of its range, where there is no such checkpoint, and for
    ``"best"`` where it knows none.
    """

    def __init__(
        self,
        source: Any,
        score_threshold: float | str = 0.05,
        iou_threshold: float = 0.5,
        max_detections: int = 200,
        batch_size: int = 8,
        fuse: bool = False,
        nms_candidates: int | None = None,
    ) -> None:
        best = isinstance(score_threshold, str) and score_threshold == "best"
        _check_options(
            score_threshold=0 if best else score_threshold,
            iou_threshold=iou_threshold,
            max_detections=max_detections,
            batch_size=batch_size,
        )
        more: dict[str, Any] = {}
        if nms_candidates is not None:
            _check_options(nms_candidates=nms_candidates)
            more["candidates"] = int(nms_candidates)
        net = load(source) if isinstance(source, (str, os.PathLike)) else source
        if not isinstance(net, Network):
            kind = type(net).__name__
            raise UserError(f"a Detector takes a network, a run folder or a checkpoint file, got {kind}")
        self.score_threshold = _best_threshold(net) if best else float(score_threshold)
        self._postprocess = as_detector(net).postprocess(
            score_threshold=self.score_threshold,
            iou_threshold=float(iou_threshold),
            max_detections=int(max_detections),
            **more,
        )
        self.net = fused_copy(net) if fuse and can_fuse(net) else net
        self.batch_size = int(batch_size)
        self.device = next(iter(net.collect_params().values())).list_ctx()[0]
        self._transform = EvalTransform(net.preprocess)
        self._postprocess.initialize(ctx=self.device)
        # A fused copy is hybridised already, with oneDNN's backend, which it would lose here.
        for block in (net, self._postprocess) if self.net is net else (self._postprocess,):
            block.hybridize(static_alloc=True)

    @classmethod
    def from_run(cls, where: str | os.PathLike[str], device: str = "auto", **options: Any) -> Detector:
        """Returns the detector of a run folder or checkpoint on ``device``: ``auto``, ``cpu`` or ``gpu``.

        ``options`` are those of the class. Raises UserError when there is no such checkpoint or device.
        """
        return cls(load(where, device), **options)

    def __call__(self, images: Any) -> Any:
        """Returns the `Detections` of one image, or a list of them for several images.

        An image is a path, a PIL image of any mode, or a uint8 array: (H, W, 3) RGB, (H, W, 4) RGBA, whose
        alpha is dropped, or (H, W) grey. The photo of a path is turned upright by its EXIF orientation.
        Several images are a list, a generator, or an array (N, H, W, 3). Raises UserError for anything else,
        and for files that cannot be read as an image.
        """
        if _is_one(images):
            return self([images])[0]
        # A generator is read one batch at a time, so that its images need not fit into memory together.
        found: list[Detections] = []
        pending = iter(images)
        while True:
            batch = list(islice(pending, self.batch_size))
            if not batch:
                return found
            found += self._detect(batch)

    def _detect(self, images: Sequence[ImageLike]) -> Iterator[Detections]:
        pictures = [rgb_pixels(image) for image in images]
        inputs = np.stack([self._transform(picture)[0] for picture in pictures])
        outputs = self.detect_batch(mx.nd.array(inputs, ctx=self.device))
        sizes = np.array([picture.shape[:2] for picture in pictures])
        for image, (boxes, scores, class_ids) in zip(images, to_pixels(outputs, sizes)):
            yield Detections(boxes, scores, class_ids, self.net.classes, image)

    def detect_batch(
        self, images: mx.nd.NDArray, layout: str = "NCHW"
    ) -> tuple[mx.nd.NDArray, mx.nd.NDArray, mx.nd.NDArray]:
        """Returns the padded ``class_ids``, ``scores`` and ``boxes`` of a batch of normalised images.

        They are (N, D), (N, D) and (N, D, 4), as `DetectionNetwork.postprocess` says. ``images`` are
        (N, 3, H, W) in layout NCHW, or in the network's own ``layout``.
        """
        if layout != self.net.layout:
            images = self.net.arrange(images)
        return self._postprocess(*self.net(images))


def to_pixels(
    outputs: tuple[mx.nd.NDArray, mx.nd.NDArray, mx.nd.NDArray], sizes: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Turns the padded outputs of a post-processing block into ``(xyxy, scores, class_ids)`` per image.

    These are (n, 4) float32 in pixels of the original image and clipped to it, (n,) float32, and (n,) int64.
    ``sizes`` (N, 2) are the heights and widths of the original images in pixels.
    """
    class_ids, scores, boxes = (output.asnumpy() for output in outputs)
    for row, (height, width) in enumerate(sizes):
        kept = class_ids[row] >= 0
        limits = np.array([width, height, width, height], dtype=np.float32)
        xyxy = np.clip(boxes[row][kept], 0, 1) * limits
        yield xyxy, scores[row][kept], class_ids[row][kept].astype(np.int64)


def _best_threshold(net: Network) -> float:
    if net.best_threshold is None:
        raise UserError(
            'score_threshold="best": this network comes from no evaluation that has found anything; '
            "give a number, such as 0.3"
        )
    return net.best_threshold


def _check_options(**options: Any) -> None:
    for name, value in options.items():
        kind, words, bounds = _OPTIONS[name]
        # In Python a bool is a number, too.
        if isinstance(value, bool) or not isinstance(value, kind):
            raise UserError(f"{name} must be {words}, got {value!r}")
        problem = bounds.problem(value)
        if problem:
            raise UserError(f"{name} {problem}")


def _is_one(images: Any) -> bool:
    """Tells whether ``images`` is one image, or nothing that could be several."""
    if isinstance(images, np.ndarray):
        return images.ndim < 4 or not images.size
    return isinstance(images, (str, bytes, os.PathLike, Image.Image)) or not isinstance(images, Iterable)
