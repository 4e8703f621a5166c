"""ONNX files in onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import as_utf8
from ..machine import threads
from .header import Header
from .source import Source, name_of

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# Errors alone.
_LOG_LEVEL = 3


class OnnxruntimeSession:
    """An ONNX file in onnxruntime, on the CPU or, with onnxruntime-gpu, on a GPU."""

    def __init__(self, source: Source, device: str = "auto") -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = _LOG_LEVEL
        providers = _providers(device, onnxruntime.get_available_providers())
        content: Any = as_utf8(source, "onnxruntime") if isinstance(source, Path) else source
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=providers)
        except Exception as error:  # its errors have no class of their own in common
            said = str(error).splitlines()[0]
            raise UserError(f"{name_of(source)}: onnxruntime cannot read it: {said}") from None
        self.header = Header.from_text(self._session.get_modelmeta().custom_metadata_map, name_of(source))
        self.output_names = [output.name for output in self._session.get_outputs()]
        self._input = self._session.get_inputs()[0].name

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        return self._session.run(None, {self._input: images})


def _providers(device: str, available: list[str]) -> list[str]:
    if device == "cpu" or (device == "auto" and _CUDA not in available):
        return [_CPU]
    if _CUDA not in available:
        raise UserError(
            "device gpu: this onnxruntime has no CUDA; pip install onnxruntime-gpu in its place, or use "
            "device cpu"
        )
    return [_CUDA, _CPU]
