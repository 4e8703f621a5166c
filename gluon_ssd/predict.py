"""The detector: a trained network that is called on images."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .data.header import read_header
from .data.images import ImageLike, decode_image, read_bytes, resize_image, rgb_pixels
from .data.orientation import upright_size
from .data.records import InMemory, Record
from .data.transforms import EvalTransform
from .data.workers import map_ahead
from .detections import Detection, Detections
from .errors import UserError, import_problem
from .files import as_path
from .machine import threads
from .runtimes.choices import check_options, network_device
from .runtimes.runners import SessionRunner
from .runtimes.sessions import check_choice, choose, is_model_file, open_session

__all__ = ["Detection", "Detections", "Detector"]

# An image, the network's input that was made of it, and its height and width.
_Read = tuple[ImageLike, np.ndarray, tuple[int, int]]
# What a network detects with unless told otherwise; an exported file has settings of its own.
DEFAULTS: dict[str, Any] = {"score_threshold": 0.05, "iou_threshold": 0.5, "max_detections": 200}


class Detector:
    """Finds objects on images.

    ``source`` is a network of the zoo, its run folder or checkpoint as `load` takes it, or a file that
    `gluon_ssd.export` has made with detections, .onnx or .xml, which needs neither MXNet nor PyTorch.
    Detections with a score below ``score_threshold`` are dropped, by default below 0.05. Of two boxes of a
    class that overlap more than ``iou_threshold``, by default more than half, the one of lower score is
    dropped. ``max_detections`` is the largest number of detections on one image, by default 200. A file has
    settings of its own, which these can only make stricter. ``batch_size`` is the number of images that go
    through the network together. With ``fuse`` the detector works on a copy whose norms are folded into the
    convolutions. This is a little faster on a CPU in float32 and has no effect elsewhere; later changes of
    the network do not reach the copy. ``nms_candidates`` is the number of best pairs of box and class that
    NMS sees, of an image, or for a RetinaNet of each of its levels; None stands for the family's number.

    ``runtime`` is mxnet, openvino, onnxruntime or torch; auto is MXNet for a network, and for a file the
    fastest that is installed. A network is copied for another runtime, which later changes of it do not
    reach. ``precision`` is fp32, or bf16 in MXNet and OpenVINO, which rounds and is faster where the
    processor has it. Threads may share a detector.

    ``score_threshold="best"`` is the threshold of the best F1 in the last evaluation of the checkpoint's
    training, or ``fallback_threshold`` where the source knows none. Raises UserError for an option out of its
    range, where there is no such checkpoint, file or runtime, and for ``"best"`` where neither is known.
    """

    def __init__(
        self,
        source: Any,
        score_threshold: float | str | None = None,
        iou_threshold: float | None = None,
        max_detections: int | None = None,
        batch_size: int = 8,
        fuse: bool = False,
        nms_candidates: int | None = None,
        *,
        runtime: str = "auto",
        precision: str = "fp32",
        device: str = "auto",
        fallback_threshold: float | None = None,
    ) -> None:
        best = isinstance(score_threshold, str) and score_threshold == "best"
        asked = {
            "score_threshold": None if best else score_threshold,
            "iou_threshold": iou_threshold,
            "max_detections": max_detections,
            "nms_candidates": nms_candidates,
            "fallback_threshold": fallback_threshold,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        check_options(**given, batch_size=batch_size)
        check_choice(runtime, precision)
        given.pop("fallback_threshold", None)
        self._fallback = fallback_threshold
        # That of the source, None where it knows none.
        self.last_best: float | None = None
        if "nms_candidates" in given:
            given["candidates"] = given.pop("nms_candidates")
        settings = {name: float(v) if name.endswith("threshold") else int(v) for name, v in given.items()}
        self.batch_size = int(batch_size)
        self.net: Any = None
        self.runner: Any
        if is_model_file(source):
            self._open_file(as_path(source), settings, best, runtime, device, precision)
            return
        net = _network(source, network_device(runtime, device))
        settings = {**DEFAULTS, **settings}
        self.last_best = net.best_threshold
        if best:
            settings["score_threshold"] = self.best_threshold
        self._open_network(net, settings, fuse, runtime, device, precision)

    def _open_file(
        self, path: Path, settings: dict[str, Any], best: bool, runtime: str, device: str, precision: str
    ) -> None:
        session = open_session(choose(runtime, path), path, device, precision)
        made_with = float(session.header.detections.get("score_threshold", 0))
        self.last_best = session.header.best_threshold
        if best:
            # Below what the file was made with it has nothing.
            settings["score_threshold"] = max(made_with, self.best_threshold)
        self.runner = SessionRunner(session, str(path), settings)
        self.score_threshold: float = max(made_with, settings.get("score_threshold", 0.0))
        self._describe(session.header)
        self._pixels = session.header.pixels

    def _open_network(
        self, net: Any, settings: dict[str, Any], fuse: bool, runtime: str, device: str, precision: str
    ) -> None:
        self.net, self._pixels = net, False
        self.score_threshold = settings["score_threshold"]
        self._describe(net)
        if runtime in ("auto", "mxnet"):
            from .runtimes.mxnet_runner import MXNetRunner

            self.runner = MXNetRunner(net, settings, fuse, precision)
            self.net = self.runner.net
            return
        try:
            from .export.in_memory import open_network
        except ImportError as error:
            raise (import_problem(error) or error) from None
        self.runner = SessionRunner(open_network(net, settings, runtime, device, precision), "", {})

    def _describe(self, source: Any) -> None:
        """Takes over what a network, or the header of a file, says of itself."""
        self.classes: tuple[str, ...] = source.classes
        self.category_ids: tuple[int, ...] = source.category_ids
        self._transform = EvalTransform(source.preprocess)

    @property
    def best_threshold(self) -> float:
        """Returns what ``score_threshold="best"`` is here. Raises UserError where nothing tells."""
        known = self._fallback if self.last_best is None else self.last_best
        if known is None:
            raise UserError(
                'score_threshold="best": this comes from no evaluation that has found anything; give a '
                "number, such as 0.3"
            )
        return float(known)

    @property
    def preprocess(self) -> Any:
        """Returns how pictures become inputs, a `Preprocess`."""
        return self._transform.preprocess

    @property
    def target(self) -> Any:
        """Returns what a loader should make for this detector."""
        return self.runner.target

    @classmethod
    def from_run(cls, where: str | os.PathLike[str], device: str = "auto", **options: Any) -> Detector:
        """Returns the detector of a run folder, checkpoint or exported file on ``device``.

        ``device`` is ``auto``, ``cpu`` or ``gpu``.

        ``options`` are those of the class. Raises UserError when there is no such checkpoint or device.
        """
        return cls(where, device=device, **options)

    def __call__(self, images: Any) -> Any:
        """Returns the `Detections` of one image, or a list of them for several images.

        An image is a path, a PIL image of any mode, or a uint8 array: (H, W, 3) RGB, (H, W, 4) RGBA, whose
        alpha is dropped, or (H, W) grey. The photo of a path is turned upright by its EXIF orientation.
        Several images are a list, a generator, or an array (N, H, W, 3). Raises UserError for anything else,
        and for files that cannot be read as an image.
        """
        if _is_one(images):
            return next(self._detect([(images, *self.input_of(images))]))
        found: list[Detections] = []
        for outcome in self.stream(images):
            if isinstance(outcome, UserError):
                raise outcome
            found.append(outcome)
        return found

    def stream(self, images: Iterable[ImageLike]) -> Iterator[Detections | UserError]:
        """Yields the `Detections` of each image in order, or the UserError that tells why it has none.

        Threads read and resize the next images while the network works on a batch, so that two more batches
        of a generator are in memory at a time.
        """
        pending = map_ahead(self._read, images, threads(), 2 * self.batch_size)
        while True:
            batch = list(islice(pending, self.batch_size))
            if not batch:
                return
            yield from self._outcomes(batch)

    def _read(self, image: ImageLike) -> _Read | UserError:
        try:
            return (image, *self.input_of(image))
        except UserError as error:
            return error

    def _outcomes(self, batch: Sequence[_Read | UserError]) -> Iterator[Detections | UserError]:
        found = self._detect([one for one in batch if not isinstance(one, UserError)])
        for one in batch:
            yield one if isinstance(one, UserError) else next(found)

    def _detect(self, batch: Sequence[_Read]) -> Iterator[Detections]:
        if not batch:
            return
        images, inputs, sizes = zip(*batch)
        outputs = self.detect_batch(np.stack(inputs))
        for image, (boxes, scores, class_ids) in zip(images, to_pixels(outputs, np.array(sizes))):
            yield Detections(boxes, scores, class_ids, self.classes, image)

    def input_of(self, image: ImageLike) -> tuple[np.ndarray, tuple[int, int]]:
        """Returns one image as the network takes it, and its height and width.

        Raises UserError for an image that cannot be read.
        """
        if isinstance(image, (str, os.PathLike)):
            return self.input_of_file(read_bytes(image), image)
        picture = rgb_pixels(image)
        return self.prepare([picture])[0], (picture.shape[0], picture.shape[1])

    def input_of_file(
        self, data: bytes, name: str | os.PathLike[str]
    ) -> tuple[np.ndarray, tuple[int, int]]:
        """Returns what `input_of` returns, for the content of an image file. Messages call it ``name``."""
        header = None if self._pixels else read_header(io.BytesIO(data))
        if header is None:
            picture = decode_image(data, name, apply_exif=True)
            return self.prepare([picture])[0], (picture.shape[0], picture.shape[1])
        # As the pictures of a data set are read, so that what is found is what `val` scores: a large JPEG is
        # decoded at a fraction of its size.
        width, height = upright_size(header)
        none = np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.bool_)
        out = self._transform.empty()
        place, packed = Path(os.fspath(name)), InMemory(data)
        record = Record(0, place, width, height, *none, packed=packed, orientation="upright")
        self._transform.load(record, np.random.default_rng(0), out)
        return out, (height, width)

    def prepare(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Returns uint8 RGB pictures (H, W, 3) of any size as one batch of inputs."""
        if self._pixels:
            return np.stack([resize_image(picture, self.preprocess.size) for picture in pictures])
        return np.stack([self._transform(picture)[0] for picture in pictures])

    def detect_batch(self, images: Any, layout: str = "NCHW") -> tuple[Any, Any, Any]:
        """Returns the padded ``class_ids``, ``scores`` and ``boxes`` of a batch of normalised images.

        They are (N, D), (N, D) and (N, D, 4), as `DetectionNetwork.postprocess` says. ``images`` are an array
        of NumPy's or MXNet's, (N, 3, H, W) in layout NCHW, or in the network's own ``layout``.
        """
        return self.runner.detect(images, layout)


def to_pixels(
    outputs: tuple[Any, Any, Any], sizes: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Turns the padded outputs of a post-processing block into ``(xyxy, scores, class_ids)`` per image.

    These are (n, 4) float32 in pixels of the original image and clipped to it, (n,) float32, and (n,) int64.
    ``sizes`` (N, 2) are the heights and widths of the original images in pixels.
    """
    class_ids, scores, boxes = (
        output if isinstance(output, np.ndarray) else output.asnumpy() for output in outputs
    )
    for row, (height, width) in enumerate(sizes):
        kept = class_ids[row] >= 0
        limits = np.array([width, height, width, height], dtype=np.float32)
        xyxy = np.clip(boxes[row][kept], 0, 1) * limits
        yield xyxy, scores[row][kept], class_ids[row][kept].astype(np.int64)


def _network(source: Any, device: str) -> Any:
    """Returns the network of a run or checkpoint, or ``source`` itself where it is one."""
    try:
        from .model_zoo.base import Network
        from .weights.loading import load
    except ImportError as error:
        raise (import_problem(error) or error) from None
    net = load(source, device) if isinstance(source, (str, os.PathLike)) else source
    if not isinstance(net, Network):
        kind = type(net).__name__
        raise UserError(f"a Detector takes a network, a run folder or a checkpoint file, got {kind}")
    return net


def _is_one(images: Any) -> bool:
    """Tells whether ``images`` is one image, or nothing that could be several."""
    if isinstance(images, np.ndarray):
        return images.ndim < 4 or not images.size
    return isinstance(images, (str, bytes, os.PathLike, Image.Image)) or not isinstance(images, Iterable)
