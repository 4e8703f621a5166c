"""The source of a PyTorch module, made of an ONNX model of this library."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..runtimes.header import Header
from ..version import __version__
from .torch_code import Source

if TYPE_CHECKING:
    import onnx


def torch_module(
    model: onnx.ModelProto, header: Header, path: Path = Path("model.py")
) -> tuple[str, dict[str, Any]]:
    """Source of the module that computes an ONNX model of this library, and its tensors by name."""
    try:
        source = Source(model)
    except UserError as error:
        raise UserError(f"{header.model}: {error}") from None
    text = _text("torch_module.txt").format(
        model=header.model,
        count=len(header.classes),
        version=__version__,
        module=path.stem,
        weights=path.with_suffix(".pth").name,
        taken=header.taken,
        given=", ".join(value.name for value in model.graph.output),
        licence=header.notes["licence"][:1].upper() + header.notes["licence"][1:] + ".",
        # As Python writes it: JSON has two escapes for a character like an emoji.
        classes=list(header.classes),
        size=header.preprocess.size,
        mean=header.preprocess.mean,
        std=header.preprocess.std,
        helpers=_text("torch_helpers.txt") if header.detections else "",
        lines="\n".join(f"        {line}" for line in source.lines),
        outputs=", ".join(source.outputs),
        shapes=json.dumps({name: array.shape for name, array in source.tensors.items()}, indent=4),
    )
    return text, source.tensors


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
