"""OpenVINO's own files, made by OpenVINO from ONNX."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..files import unwritable
from ..folders import files_together
from ..runtimes.openvino_session import the_core
from .onnx_file import checked, checked_model, summary
from .sources import Exported, Options, header_of, network_of


def to_openvino(source: Any, path: str | Path, **options: Any) -> Exported:
    """Writes a detector as OpenVINO's IR: ``path``, which ends in .xml, and the .bin beside it.

    As `to_onnx` does, with the same inputs and outputs, and proven by OpenVINO. Raises UserError also where
    OpenVINO is not installed.
    """
    import openvino

    path, asked = checked(path, ".xml"), Options(**options)
    net = network_of(source, asked.input_size)
    header = header_of(net, asked)
    model, line = checked_model(net, header, asked, "openvino", path)
    noted = replace(header, notes={**header.notes, "proof": line})
    converted = the_core().read_model(model.SerializeToString())
    for name, text in noted.to_text().items():
        converted.set_rt_info(text, ["framework", name])
    _save(openvino, converted, path)
    size = sum(part.stat().st_size for part in (path, path.with_suffix(".bin"))) / 1e6
    return Exported(path, (f"{path}: OpenVINO IR, {size:.1f} MB, {summary(header)}", line))


def _save(openvino: Any, model: Any, path: Path) -> None:
    with files_together([path.with_suffix(".bin"), path]) as folder:
        try:
            openvino.save_model(model, str(folder / path.name), compress_to_fp16=False)
        except RuntimeError as error:
            # It names the file in the temporary folder.
            reason = str(error).replace(str(folder), str(path.parent))
            raise unwritable(path, OSError(reason)) from None


