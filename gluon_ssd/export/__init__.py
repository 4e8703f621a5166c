"""Networks in the files of other runtimes, each proven to compute what the network does.

``to_onnx(net, "model.onnx", detections=True)`` and its siblings return an `Exported`, which says what was
measured. ``net``: a network, a run folder or a checkpoint. `gluon_ssd.Detector` takes the files.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import import_problem

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


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(_WHERE[name], __name__)
    except ImportError as error:
        raise (import_problem(error) or error) from None
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
