"""Networks in PyTorch, by the module that an export has just made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import UserError
from .header import Header


class TorchSession:
    """A module's source and its tensors, in PyTorch on the CPU or a GPU.

    In float32 a GPU computes convolutions in full float32, not in PyTorch's default of TF32, which has ten
    bits; ``precision`` bf16 is PyTorch's autocast. The source is this library's own, made in this process;
    nothing is ever read from a file to be run.
    """

    def __init__(
        self,
        module: str,
        tensors: Mapping[str, np.ndarray],
        header: Header,
        output_names: list[str],
        device: str = "auto",
        precision: str = "fp32",
    ) -> None:
        import torch

        if device == "gpu" and not torch.cuda.is_available():
            raise UserError("device gpu: PyTorch sees no GPU here; use device cpu")
        on_gpu = device != "cpu" and torch.cuda.is_available()
        self._device, self._torch = "cuda" if on_gpu else "cpu", torch
        self._bf16 = precision == "bf16"
        names: dict[str, Any] = {}
        exec(compile(module, "<exported module>", "exec"), names)
        model = names["Model"]()
        model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
        self._model = model.eval().to(self._device)
        self.header, self.output_names = header, output_names

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        # NumPy has no bfloat16.
        bfloat16 = self._torch.bfloat16
        found = (output.float() if output.dtype == bfloat16 else output for output in self._outputs(images))
        return [output.cpu().numpy() for output in found]

    def run_network(self, images: np.ndarray) -> None:
        """Runs it and waits, without fetching large raw outputs from a GPU; to time it."""
        self._outputs(images)
        if self._device == "cuda":
            self._torch.cuda.synchronize()

    def _outputs(self, images: np.ndarray) -> Any:
        torch = self._torch
        autocast = torch.autocast(self._device, torch.bfloat16, enabled=self._bf16)
        cudnn = torch.backends.cudnn.flags(enabled=True, allow_tf32=self._bf16)
        with torch.inference_mode(), autocast, cudnn:
            return self._model(torch.from_numpy(images).to(self._device))
