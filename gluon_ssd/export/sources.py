"""What is exported: a network in float32, what is asked of it, and what the file says of itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable

import mxnet as mx
import numpy as np

from ..data.images import ImageLike
from ..errors import UserError, unknown
from ..model_zoo import as_detector, get_model
from ..model_zoo.transfer import set_parameters
from ..runtimes.choices import check_options
from ..runtimes.header import Header
from ..version import __version__

# What the input of every export is called.
INPUT = "images"
# What the post-processing of every family can be told.
_SETTINGS = ("score_threshold", "iou_threshold", "max_detections", "candidates")
_HALF = ("layout", "dtype", "bn_fp16")
_LICENCE = (
    "the network is gluon_ssd's, Apache-2.0; its weights are under the terms of whoever trained them, and of "
    "what they were trained on"
)


@dataclass(frozen=True)
class Options:
    """What is asked of an export.

    ``detections``: boxes instead of raw outputs, with ``settings`` as post-processing takes them, by default
    `DETECTIONS`. ``preprocess``: uint8 pixels in, normalised inside. ``batch``: images that go through
    together, None is any number. ``input_size``: (height, width), None is the network's own. ``images``: to
    compare on, None is eight pictures of shapes. ``prove``: compare at all.

    ``precision``: fp32, or int8 for ONNX and OpenVINO, whose ranges are measured on the first 32 images of
    ``calibration``, pictures like those of the training. ``score``: tells the mAP of an ONNX model with
    detections in a runtime, ``score(model, runtime)``; int8 is then kept only where it loses at most 0.01.
    """

    detections: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    preprocess: bool = False
    batch: int | None = None
    input_size: Sequence[int] | None = None
    images: Sequence[ImageLike] | None = None
    prove: bool = True
    precision: str = "fp32"
    calibration: Sequence[ImageLike] | None = None
    score: Callable[[Any, str], float] | None = None

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "int8"):
            raise unknown("precision", self.precision, ("fp32", "int8"))
        if self.settings and not self.detections:
            raise UserError(f"{next(iter(self.settings))} is for detections; raw outputs have no thresholds")
        # Those of a family of the user's own are for its post-processing to check.
        check_options(**{name: value for name, value in self.settings.items() if name in _SETTINGS})
        if self.batch is not None:
            check_options(batch=self.batch)
        if self.input_size is not None and not _is_size(self.input_size):
            raise UserError(f"input_size must be height and width, each at least 32, got {self.input_size!r}")
        for name in ("images", "calibration"):
            if isinstance(getattr(self, name), (str, os.PathLike)):
                raise UserError(f"{name} must be a list of pictures, got {getattr(self, name)!r}")


def _is_size(value: Any) -> bool:
    sides = list(value) if isinstance(value, Sequence) else []
    return len(sides) == 2 and all(isinstance(side, (int, np.integer)) and side >= 32 for side in sides)


DETECTIONS: dict[str, Any] = {"score_threshold": 0.05, "iou_threshold": 0.5, "max_detections": 200}


@dataclass(frozen=True)
class Exported:
    """What was written: its main file, and in one line each what it holds and how it was proven."""

    path: Path
    lines: tuple[str, ...]


def parameter_arrays(net: Any) -> dict[str, np.ndarray]:
    """The parameters of ``net`` by name, float32."""
    parameters = net.collect_params().items()
    return {name: parameter.data().asnumpy().astype(np.float32) for name, parameter in parameters}


def network_of(source: Any, input_size: Sequence[int] | None = None) -> Any:
    """The detector that ``source`` is or holds, in float32 and NCHW on the CPU, for inputs of this size.

    Raises UserError where there is none, or it takes no such size.
    """
    from ..weights.loading import load

    net = as_detector(load(source, "cpu") if isinstance(source, (str, os.PathLike)) else source)
    twin = _twin(net)
    if input_size is not None and tuple(input_size) != tuple(net.input_size):
        if net.fixed_size:
            raise UserError(f"{net.model_name} takes inputs of {net.input_size} alone; give no input size")
        height, width = input_size
        twin.preprocess = replace(net.preprocess, size=(height, width))
    return twin


def _twin(net: Any) -> Any:
    """A network of the same values: one that was hybridised for a backend has no symbol of its own."""
    options = {name: value for name, value in net.options.items() if name not in _HALF}
    try:
        twin = get_model(net.model_name, net.classes, ctx=mx.cpu(), **options)
    except UserError as error:
        raise UserError(f"{net.model_name}: cannot be built anew for an export: {error}") from None
    twin.preprocess, twin.category_ids = net.preprocess, net.category_ids
    twin.best_threshold = net.best_threshold
    set_parameters(twin, parameter_arrays(net), net.model_name)
    return twin


def header_of(net: Any, options: Options = Options()) -> Header:  # noqa: B008 - frozen
    """What an export of ``net`` says of itself."""
    return Header(
        model=net.model_name,
        classes=tuple(net.classes),
        category_ids=tuple(int(number) for number in net.category_ids),
        preprocess=net.preprocess,
        pixels=options.preprocess,
        batch=options.batch,
        best_threshold=net.best_threshold,
        detections={**DETECTIONS, **options.settings} if options.detections else {},
        notes={"versions": f"gluon_ssd {__version__}, mxnet {mx.__version__}", "licence": _LICENCE},
    )
