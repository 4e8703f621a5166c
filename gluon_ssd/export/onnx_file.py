"""ONNX files."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..files import as_path, atomic_write
from ..runtimes.header import Header
from .graph import OPSET
from .in_memory import open_model
from .network import build_model, set_header
from .proof import Proof, Reference, pictures_of, require
from .sources import Exported, Options, header_of, network_of

if TYPE_CHECKING:
    import onnx

_PROVED_BY = ("onnxruntime", "openvino")


def to_onnx(source: Any, path: str | Path, **options: Any) -> Exported:
    """Writes a detector as an ONNX file, after it was run and compared with the network.

    ``source``: a network, a run folder or a checkpoint. ``options``: those of `Options`. The input is
    ``images``, the outputs are called as the family calls its own (``cls_preds``, ``box_preds``), or
    ``boxes`` (N, D, 4) in pixels of the input, ``scores``, ``class_ids``, -1 in rows without a detection, and
    ``count``. Raises UserError, and writes nothing, for an operator that has no translation, for a result
    that differs, and where ``path`` cannot be written.
    """
    path, asked = checked(path, ".onnx"), Options(**options)
    net = network_of(source, asked.input_size)
    header = header_of(net, asked)
    runtime = next((name for name in _PROVED_BY if installed(name)), None)
    model, line = checked_model(net, header, asked, runtime, path)
    set_header(model, replace(header, notes={**header.notes, "proof": line}))
    with atomic_write(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    size = path.stat().st_size / 1e6
    return Exported(path, (f"{path}: ONNX, opset {OPSET}, {size:.1f} MB, {summary(header)}", line))


def checked_model(
    net: Any, header: Header, options: Options, runtime: str | None, path: Path
) -> tuple[onnx.ModelProto, str]:
    """The model that is asked for, and in a line how it was compared with the network.

    ``runtime``: what runs it for that, None where there is none. Raises UserError where it differs.
    """
    if options.precision == "int8":
        from .small_model import in_int8

        return in_int8(net, header, options, runtime or _PROVED_BY[0])
    model = build_model(net, header)
    if not options.prove or runtime is None:
        return model, unproven(options, runtime or _PROVED_BY[0])
    proof = prove(net, model, header, options, runtime)
    require(proof, path)
    return model, str(proof)


def checked(path: str | Path, suffix: str) -> Path:
    """The path to write. Raises UserError where its suffix is another, or its folder is not there."""
    path = as_path(path)
    if path.suffix.lower() != suffix:
        raise UserError(f"{path}: the name of such a file ends in {suffix}")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}")
    return path


def unproven(options: Options, extra: str) -> str:
    """What is said in the place of a proof."""
    if not options.prove:
        return "not compared with the network, as asked"
    return f'not compared with the network: {extra} is not installed; pip install "gluon_ssd[{extra}]"'


def installed(name: str) -> bool:
    """Whether a runtime can be imported."""
    return importlib.util.find_spec(name) is not None


def summary(header: Header) -> str:
    """What goes in and comes out, in a few words."""
    given = "detections" if header.detections else "raw outputs"
    return f"{given} of {len(header.classes)} classes from {header.taken}"


def prove(net: Any, model: onnx.ModelProto, header: Header, options: Options, runtime: str) -> Proof:
    """Runs ``model`` and compares it with ``net``; of a model with detections the raw outputs, too."""
    images = pictures_of(options)
    reference = Reference(net, images)
    session = open_model(model, header, runtime)
    same = total = tied = 0
    raw = session
    if header.detections:
        same, total, tied = reference.agreement(session)
        bare = replace(header, detections={})
        raw = open_model(build_model(net, bare), bare, runtime)
    return Proof(runtime, len(images), reference.differences(raw), same, total, tied)
