"""Networks in the files of other runtimes, each proven to compute what the network does.

``to_onnx(net, "model.onnx", detections=True)`` and its siblings return an `Exported`, which says what was
measured. ``net``: a network, a run folder or a checkpoint. `gluon_ssd.Detector` takes the files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import names_on_use

if TYPE_CHECKING:
    from .onnx_file import to_onnx
    from .openvino_file import to_openvino
    from .symbol_file import to_symbol
    from .torch_file import to_torch

__all__ = ["to_onnx", "to_openvino", "to_symbol", "to_torch"]

_WHERE = {
    "to_onnx": ".onnx_file",
    "to_openvino": ".openvino_file",
    "to_symbol": ".symbol_file",
    "to_torch": ".torch_file",
}

__getattr__, __dir__ = names_on_use(__name__, _WHERE)
