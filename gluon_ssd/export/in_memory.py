"""Networks into other runtimes by way of ONNX, without a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import import_problem
from ..runtimes.header import Header
from ..runtimes.sessions import check_precision, open_session
from ..runtimes.source import Session
from .network import build_model
from .sources import Options, header_of, network_of
from .torch_module import torch_module

if TYPE_CHECKING:
    import onnx


def open_network(
    net: Any, settings: Mapping[str, Any] | None, runtime: str, device: str, precision: str
) -> Session:
    """A detector in another runtime, with its post-processing, or for its raw outputs.

    ``settings``: of its post-processing, None for raw outputs. Raises UserError for an operator that has no
    translation, and where the runtime or the package onnx is not installed.
    """
    twin = network_of(net)
    header = header_of(twin, Options(detections=settings is not None, settings=settings or {}))
    return open_model(build_model(twin, header), header, runtime, device, precision)


def open_model(
    model: onnx.ModelProto, header: Header, runtime: str, device: str = "cpu", precision: str = "fp32"
) -> Session:
    """An ONNX model of this library in a runtime; torch runs the module that is made of it."""
    if runtime != "torch":
        return open_session(runtime, model.SerializeToString(), device, precision)
    check_precision(runtime, precision)
    from ..runtimes.torch_session import TorchSession

    names = [value.name for value in model.graph.output]
    try:
        return TorchSession(*torch_module(model, header), header, names, device, precision)
    except ImportError as error:
        raise (import_problem(error) or error) from None
