"""ONNX files and OpenVINO's own in OpenVINO."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..machine import threads
from .header import Header
from .source import Source, name_of

_HINTS = {"fp32": "f32", "bf16": "bf16"}


@cache
def the_core() -> Any:
    """Returns the core of OpenVINO, one for the whole process.

    Its CPU plugin gives the thread that loads it a stack of its own for signals. Where the last core ends in
    another thread, this stack is freed but stays in use, and the next Ctrl-C ends the process by a
    segmentation fault.
    """
    import openvino

    return openvino.Core()


class OpenVINOSession:
    """An ONNX file or an IR (.xml with its .bin) in OpenVINO, on the CPU or on a GPU of Intel's."""

    def __init__(self, source: Source, device: str = "auto", precision: str = "fp32") -> None:
        core = the_core()
        if device == "gpu" and "GPU" not in core.available_devices:
            raise UserError("device gpu: OpenVINO sees no GPU of Intel's here; use device cpu")
        # OpenVINO would choose bfloat16 by itself where the processor has it.
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _HINTS[precision]}
        target = "GPU" if device == "gpu" else "CPU"
        if target == "CPU":
            config["INFERENCE_NUM_THREADS"] = threads()
        if isinstance(source, Path) and source.suffix.lower() == ".xml":
            _check_xml(source)
        try:
            model = core.read_model(str(source) if isinstance(source, Path) else source)
            self._compiled = core.compile_model(model, target, config)
        except RuntimeError as error:
            said = str(error).strip().splitlines()[-1]
            raise UserError(f"{name_of(source)}: OpenVINO cannot read it: {said}") from None
        self.header = Header.from_text(metadata(model), name_of(source))
        self.output_names = [output.get_any_name() for output in self._compiled.outputs]
        self._one_at_a_time = threading.Lock()

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        # A call refuses to begin before another thread's has ended, and writes into the same memory.
        with self._one_at_a_time:
            results = self._compiled(images)
            return [np.array(results[place]) for place in range(len(self.output_names))]


def _check_xml(path: Path) -> None:
    """Raises UserError for what is no IR: OpenVINO would try other formats on it, and each has its say."""
    with path.open("rb") as file:
        if b"<net name=" not in file.read(4096):
            raise UserError(f"{path}: is no file of OpenVINO's, or damaged; export it again")


def metadata(model: Any) -> dict[str, str]:
    """What an ONNX file said of itself: OpenVINO keeps it, also in an IR."""
    if not model.has_rt_info(["framework"]):
        return {}
    paths = {name: ["framework", name] for name in model.rt_info["framework"]}
    return {name: str(model.get_rt_info(path).value) for name, path in paths.items()}
