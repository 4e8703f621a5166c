"""What a runtime opens, and what it is then."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Union

import numpy as np

from .header import Header

# A file, or the bytes of an ONNX file.
Source = Union[Path, bytes]


class Session(Protocol):
    """An open file. ``output_names``: what `run` returns, in this order."""

    header: Header
    output_names: list[str]

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """The outputs for a batch of inputs, as the header says they are."""
        ...


def name_of(source: Source) -> str:
    """What messages call it."""
    return str(source) if isinstance(source, Path) else "the exported network"
