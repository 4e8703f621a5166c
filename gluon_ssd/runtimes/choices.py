"""What commands let a user choose of a detector and its runtime: nothing heavy is imported here."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from ..errors import UserError
from ..values import Bounds

# The fastest first, as measured on CPU; each with the kinds of file that it runs. PyTorch has none: its
# module is code, and no code from a file is ever run.
SUFFIXES = {"openvino": (".onnx", ".xml"), "onnxruntime": (".onnx",)}
PRECISIONS = {
    "mxnet": ("fp32", "bf16"),
    "openvino": ("fp32", "bf16"),
    "onnxruntime": ("fp32",),
    "torch": ("fp32", "bf16"),
}
RUNTIMES = ("auto", *PRECISIONS)
# The score threshold of detections that a user looks at, where no evaluation tells a better one.
SHOWN_THRESHOLD = 0.3
# The options of `Detector` that commands have flags of the same names for.
_FLAGS = ("iou_threshold", "max_detections", "batch_size", "runtime", "precision", "device")
# How the load generator of MLPerf may ask for images.
SCENARIOS = ("SingleStream", "MultiStream", "Offline", "Server")


# By option of a detector: its type, how a message calls that, and the values that are allowed.
_OPTIONS: dict[str, tuple[type, str, Bounds]] = {
    "score_threshold": (Real, "a number", Bounds(low=0, below=1)),
    "fallback_threshold": (Real, "a number", Bounds(low=0, below=1)),
    "iou_threshold": (Real, "a number", Bounds(above=0, high=1)),
    "max_detections": (Integral, "an integer", Bounds(low=1)),
    "nms_candidates": (Integral, "an integer", Bounds(low=1)),
    "candidates": (Integral, "an integer", Bounds(low=1)),
    "batch_size": (Integral, "an integer", Bounds(low=1)),
    "batch": (Integral, "an integer", Bounds(low=1)),
}


def check_options(**options: Any) -> None:
    """Raises UserError for an option of a detector, or of an export, that is of a wrong type or range."""
    for name, value in options.items():
        kind, words, bounds = _OPTIONS[name]
        # In Python a bool is a number, too.
        if isinstance(value, bool) or not isinstance(value, kind):
            raise UserError(f"{name} must be {words}, got {value!r}")
        problem = bounds.problem(value)
        if problem:
            raise UserError(f"{name} {problem}")


def network_device(runtime: str, device: str) -> str:
    """Returns the device on which MXNet opens a network: the CPU where another runtime takes it over."""
    return device if runtime in ("auto", "mxnet") else "cpu"


def detector_options(given: Any) -> dict[str, Any]:
    """Returns the options of `Detector` that the flags of a command, or the settings of a server, ask for.

    The score threshold is not among them, since commands differ in what they do with it.
    """
    flags = {name: getattr(given, name) for name in _FLAGS}
    return {"fuse": True, "fallback_threshold": SHOWN_THRESHOLD, **flags}
