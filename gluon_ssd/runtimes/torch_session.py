"""Networks in PyTorch, by the module that an export has just made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import UserError
from .header import Header


class TorchSession:
    """A module's source and its tensors, in PyTorch on the CPU or a GPU.

    The source is this library's own, made in this process; nothing is ever read from a file to be run.
    """

    def __init__(
        self,
        module: str,
        tensors: Mapping[str, np.ndarray],
        header: Header,
        output_names: list[str],
        device: str = "auto",
    ) -> None:
        import torch

        if device == "gpu" and not torch.cuda.is_available():
            raise UserError("device gpu: PyTorch sees no GPU here; use device cpu")
        on_gpu = device != "cpu" and torch.cuda.is_available()
        self._device, self._torch = "cuda" if on_gpu else "cpu", torch
        names: dict[str, Any] = {}
        exec(compile(module, "<exported module>", "exec"), names)
        model = names["Model"]()
        model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
        self._model = model.eval().to(self._device)
        self.header, self.output_names = header, output_names

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        with self._torch.inference_mode():
            outputs = self._model(self._torch.from_numpy(images).to(self._device))
        return [output.cpu().numpy() for output in outputs]
