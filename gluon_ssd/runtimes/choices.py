"""The runtimes there are, for the command line too: nothing is imported here."""

from __future__ import annotations

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
# How the load generator of MLPerf may ask for images.
SCENARIOS = ("SingleStream", "MultiStream", "Offline", "Server")


def network_device(runtime: str, device: str) -> str:
    """Returns the device on which MXNet opens a network: the CPU where another runtime takes it over."""
    return device if runtime in ("auto", "mxnet") else "cpu"
