"""What commands let a user choose of a detector and its runtime: nothing heavy is imported here."""

from __future__ import annotations

from typing import Any

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


def network_device(runtime: str, device: str) -> str:
    """Returns the device on which MXNet opens a network: the CPU where another runtime takes it over."""
    return device if runtime in ("auto", "mxnet") else "cpu"


def detector_options(given: Any) -> dict[str, Any]:
    """Returns the options of `Detector` that the flags of a command, or the settings of a server, ask for.

    The score threshold is not among them, since commands differ in what they do with it.
    """
    flags = {name: getattr(given, name) for name in _FLAGS}
    return {"fuse": True, "fallback_threshold": SHOWN_THRESHOLD, **flags}
