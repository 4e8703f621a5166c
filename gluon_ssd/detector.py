"""A trained network as something to call on images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Sequence, Union

import mxnet as mx
import numpy as np

from .data.images import read_image
from .data.transforms import EvalTransform
from .engine.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from .engine.device import pick_device
from .engine.fused import can_fuse, fused_copy
from .errors import UserError
from .model_zoo import get_model
from .model_zoo.transfer import set_parameters

Image = Union[str, Path, np.ndarray]


@dataclass(frozen=True)
class Detections:
    """What was found on one image, best first.

    ``xyxy`` (n, 4) float32 left, top, right, bottom in pixels of the original image, clipped to it;
    ``scores`` (n,) float32; ``class_ids`` (n,) int64 index into ``classes``; ``image`` the picture, (H, W,
    3) uint8 RGB.
    """

    xyxy: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    classes: tuple[str, ...]
    image: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def names(self) -> list[str]:
        """Class name of every detection."""
        return [self.classes[index] for index in self.class_ids]

    def plot(self, scale: int = 1) -> np.ndarray:
        """The image with boxes drawn, uint8 RGB; ``scale`` enlarges it first."""
        from .report.draw import draw_boxes

        return draw_boxes(self.image, self.xyxy, self.names, self.scores, self.class_ids, scale=scale)

    def save(self, path: str | Path) -> None:
        """Writes the annotated image; the format follows the suffix. Raises UserError when it cannot."""
        from PIL import Image as Picture

        try:
            Picture.fromarray(self.plot()).save(path, quality=92)
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: the picture cannot be written: {error}") from None

    def to_dict(self) -> list[dict[str, Any]]:
        """One plain dictionary per detection: ``name``, ``class_id``, ``score``, ``xyxy``."""
        return [
            {
                "name": name,
                "class_id": int(class_id),
                "score": round(float(score), 5),
                "xyxy": [round(float(x), 2) for x in box],
            }
            for name, class_id, score, box in zip(self.names, self.class_ids, self.scores, self.xyxy)
        ]


class Detector:
    """Finds objects on images with a network of the zoo.

    ``detector(images)``: paths, (H, W, 3) uint8 RGB arrays, one of them, or a batch (N, H, W, 3); returns a
    list of `Detections`, or one for a single image. Photos are turned upright by their EXIF orientation.
    ``fuse``: work on a copy with norms folded into convolutions, a little faster on CPU in float32 (it has no
    effect elsewhere); later changes of ``net`` do not reach it.
    Raises UserError for what cannot be read as an image.
    """

    def __init__(
        self,
        net: Any,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        max_detections: int = 200,
        batch_size: int = 8,
        fuse: bool = False,
    ) -> None:
        self.net = fused_copy(net) if fuse and can_fuse(net) else net
        self.batch_size = batch_size
        self.device = next(iter(net.collect_params().values())).list_ctx()[0]
        self._transform = EvalTransform(net.preprocess)
        self._postprocess = net.postprocess(
            score_threshold=score_threshold, iou_threshold=iou_threshold, max_detections=max_detections
        )
        self._postprocess.initialize(ctx=self.device)
        for block in (net, self._postprocess) if self.net is net else (self._postprocess,):
            block.hybridize(static_alloc=True)

    def __call__(self, images: Image | Sequence[Image]) -> Any:
        if isinstance(images, (str, Path)) or (isinstance(images, np.ndarray) and images.ndim == 3):
            return self([images])[0]
        pictures = list(images)
        return [
            found
            for start in range(0, len(pictures), self.batch_size)
            for found in self._detect(
                [_picture(image) for image in pictures[start : start + self.batch_size]]
            )
        ]

    def _detect(self, pictures: Sequence[np.ndarray]) -> Iterator[Detections]:
        inputs = np.stack([self._transform(picture)[0] for picture in pictures])
        outputs = self.detect_batch(mx.nd.array(inputs, ctx=self.device))
        sizes = np.array([picture.shape[:2] for picture in pictures])
        for picture, (boxes, scores, class_ids) in zip(pictures, to_pixels(outputs, sizes)):
            yield Detections(boxes, scores, class_ids, self.net.classes, picture)

    def detect_batch(
        self, images: mx.nd.NDArray, layout: str = "NCHW"
    ) -> tuple[mx.nd.NDArray, mx.nd.NDArray, mx.nd.NDArray]:
        """Normalised images to padded (class_ids, scores, boxes), as `SSDPostprocess` gives them.

        ``images``: (N, 3, H, W), or in the network's own ``layout``.
        """
        if layout != self.net.layout:
            images = self.net.arrange(images)
        return self._postprocess(*self.net(images))


def to_pixels(
    outputs: tuple[mx.nd.NDArray, mx.nd.NDArray, mx.nd.NDArray], sizes: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Padded outputs of a post-processing block to (xyxy pixels, scores, class_ids) per image.

    ``sizes``: (N, 2) height and width of the original images. Boxes are clipped to the image.
    """
    class_ids, scores, boxes = (output.asnumpy() for output in outputs)
    for row, (height, width) in enumerate(sizes):
        kept = class_ids[row] >= 0
        limits = np.array([width, height, width, height], dtype=np.float32)
        xyxy = np.clip(boxes[row][kept], 0, 1) * limits
        yield xyxy, scores[row][kept], class_ids[row][kept].astype(np.int64)


def load(where: str | Path, device: str = "auto") -> Any:
    """The network of a checkpoint, with its classes and preprocessing.

    ``where``: a checkpoint file, a run folder (its best), or ``RUN/best``, ``RUN/last``. ``device``: auto,
    cpu or gpu. Raises UserError when there is none or it is damaged.
    """
    return restore(read_checkpoint(find_checkpoint(where)), device)


def restore(checkpoint: Checkpoint, device: str = "auto", local_rank: int = 0) -> Any:
    """The network of a checkpoint that was read. Raises UserError when none is such, or it does not fit."""
    context = pick_device(device, local_rank)
    taken = sorted({"name", "classes", "ctx"} & set(checkpoint.options))
    if taken:
        raise UserError(f"{checkpoint.path}: not a checkpoint of this library; {taken[0]} is no option")
    try:
        net = get_model(checkpoint.model, checkpoint.classes, ctx=context, **checkpoint.options)
    except UserError as error:
        raise UserError(f"{checkpoint.path}: {error}") from None
    net.preprocess = checkpoint.preprocess
    net.category_ids = checkpoint.category_ids
    set_parameters(net, checkpoint.parameters, str(checkpoint.path))
    return net


def _picture(image: Image) -> np.ndarray:
    if isinstance(image, (str, Path)):
        return read_image(image, apply_exif=True)
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise UserError(
            f"an image array must be (height, width, 3) uint8 RGB; this one is {array.shape} {array.dtype}"
        )
    return array
