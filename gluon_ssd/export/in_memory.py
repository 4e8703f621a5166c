"""Networks into other runtimes by way of ONNX, without a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..runtimes.sessions import open_session
from ..runtimes.source import Session
from .network import build_model
from .sources import Options, header_of, network_of


def open_network(net: Any, settings: Mapping[str, Any], runtime: str, device: str, precision: str) -> Session:
    """A detector, with its post-processing, in onnxruntime or OpenVINO.

    ``settings``: of its post-processing. Raises UserError for an operator that has no translation, and where
    the runtime or the package onnx is not installed.
    """
    twin = network_of(net)
    model = build_model(twin, header_of(twin, Options(detections=True, settings=settings)))
    return open_session(runtime, model.SerializeToString(), device, precision)
