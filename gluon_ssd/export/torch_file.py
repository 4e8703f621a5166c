"""PyTorch: a module in one file of Python that needs torch alone, and the file of its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UserError
from ..folders import files_together
from ..tensor_files.torch_writer import write_torch
from .network import build_model
from .onnx_file import checked, installed, prove, summary, unproven
from .proof import require
from .sources import Exported, Options, header_of, network_of
from .torch_module import torch_module


def to_torch(source: Any, path: str | Path, **options: Any) -> Exported:
    """Writes a detector as ``path``, which ends in .py, and the weights beside it, in .pth.

    The module's ``load(weights)`` gives a ``torch.nn.Module`` of the same inputs and outputs as `to_onnx`
    has. Raises UserError for what has no translation, a result that differs, and where the files cannot be
    written.
    """
    path, asked = checked(path, ".py"), Options(**options)
    if not path.stem.isidentifier():
        raise UserError(f"{path}: Python cannot import a module of this name; use letters, digits and _")
    if asked.batch is not None or asked.precision != "fp32":
        raise UserError(f"{path}: a module is float32 and takes batches of any size")
    net = network_of(source, asked.input_size)
    header = header_of(net, asked)
    model = build_model(net, header)
    text, tensors = torch_module(model, header, path)
    line = unproven(asked, "torch")
    if asked.prove and installed("torch"):
        proof = prove(net, model, header, asked, "torch")
        require(proof, path)
        line = str(proof)
    _write(text, tensors, path)
    size = path.with_suffix(".pth").stat().st_size / 1e6
    return Exported(path, (f"{path} and {path.stem}.pth: PyTorch, {size:.1f} MB, {summary(header)}", line))


def _write(text: str, tensors: dict[str, Any], path: Path) -> None:
    with files_together([path.with_suffix(".pth"), path]) as folder:
        made = folder / path.name
        made.write_text(text, encoding="utf-8")
        write_torch(tensors, made.with_suffix(".pth"))
