"""Files of networks, opened in the runtime that runs them."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from ..errors import UserError, import_problem, unknown
from .choices import PRECISIONS, RUNTIMES, SUFFIXES
from .source import Session, Source


def is_model_file(source: Any) -> bool:
    """Whether this is the path of a file that a runtime other than MXNet runs, by its suffix."""
    known = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    return isinstance(source, (str, os.PathLike)) and Path(source).suffix.lower() in known


def choose(runtime: str, path: Path) -> str:
    """The runtime for a file: the one that was asked for, or the fastest installed that runs it.

    Raises UserError where there is none, or it does not run such files.
    """
    fitting = [name for name, suffixes in SUFFIXES.items() if path.suffix.lower() in suffixes]
    if runtime == "auto":
        installed = [name for name in fitting if importlib.util.find_spec(name) is not None]
        if installed:
            return installed[0]
        extra = fitting[-1]
        raise UserError(f'{path}: nothing that runs it is installed; pip install "gluon_ssd[{extra}]"')
    if runtime not in fitting:
        raise UserError(f"{path}: {runtime} does not run such a file; use {' or '.join(fitting)}")
    return runtime


def check_choice(runtime: str, precision: str) -> None:
    """Raises UserError where there is no such runtime, or it does not compute in this precision."""
    if runtime not in RUNTIMES:
        raise unknown("runtime", runtime, RUNTIMES)
    known = sorted({name for names in PRECISIONS.values() for name in names}, reverse=True)
    if precision not in known:
        raise unknown("precision", precision, known)


def check_precision(runtime: str, precision: str) -> None:
    """Raises UserError where ``runtime``, which is not auto, does not compute in this precision."""
    if precision not in PRECISIONS[runtime]:
        known = " or ".join(PRECISIONS[runtime])
        raise UserError(f"runtime {runtime} computes in {known}, not in {precision}")


def open_session(runtime: str, source: Source, device: str = "auto", precision: str = "fp32") -> Session:
    """Opens a file, or the bytes of an ONNX file, in ``runtime``.

    ``device``: auto, cpu or gpu. Raises UserError where the runtime is not installed, has no such device or
    precision, or cannot read the file.
    """
    check_precision(runtime, precision)
    if isinstance(source, Path) and not source.is_file():
        raise UserError(f"{source}: no such file")
    try:
        if runtime == "openvino":
            from .openvino_session import OpenVINOSession

            return OpenVINOSession(source, device, precision)
        from .onnxruntime_session import OnnxruntimeSession

        return OnnxruntimeSession(source, device)
    except ImportError as error:
        raise (import_problem(error) or error) from None
