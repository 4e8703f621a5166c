"""Weight files of all kinds: found out by their content, read to arrays by name, written."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np

from ..errors import UserError
from .archive import STATE, read_archive
from .backbone_names import gluoncv_to_torch
from .norms import EPSILON, refit_norms
from .params_file import FILE_MAGIC, read_params
from .pickles import read_pickle
from .safetensors_file import read_safetensors
from .torch_reader import LEGACY_START, ZIP_START, read_torch, readable

# Starts every .params file that MXNet writes, since 0.5.
_PARAMS_START = struct.pack("<Q", FILE_MAGIC)
_PARAMETERS = "parameters/"


def kind_of(path: str | Path) -> str:
    """``torch``, ``pickle``, ``params``, ``safetensors`` or ``checkpoint``, by content and not by name.

    Raises UserError when there is no such file, or it is none of them.
    """
    path = Path(path)
    with readable(path, "weight file"), path.open("rb") as file:
        start = file.read(512)
    if start.startswith(ZIP_START):
        return "checkpoint" if _is_checkpoint(path, start) else "torch"
    if start.startswith(LEGACY_START) or start[257:262] == b"ustar":
        return "torch"
    if start.startswith(_PARAMS_START):
        return "params"
    if start[8:9] == b"{":
        return "safetensors"
    if start[:1] == b"\x80" or start[:2] in (b"(d", b"}q"):
        return "pickle"
    what = "is empty" if not start else "is no weight file that is known"
    raise UserError(f"{path}: {what}; known are .pth, .pt, .pickle, .params, .safetensors and .ckpt")


def _is_checkpoint(path: Path, start: bytes) -> bool:
    if start[30:].startswith(STATE.encode()):  # the first file in it, even if the zip is cut off
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return STATE in archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def read_weights(path: str | Path) -> tuple[str, dict[str, np.ndarray]]:
    """(kind, arrays by name) of any weight file; kinds as in `kind_of`.

    ``params`` lose their ``arg:`` and ``aux:``, those of GluonCV's ResNet v1b get torchvision's names; of a
    ``checkpoint`` the network's parameters are read, refitted where its frozen norms have an epsilon of their
    own.
    Nothing in the file is run. Raises UserError for a file that is missing, damaged, empty or something else.
    """
    kind = kind_of(path)
    readers = {
        "torch": read_torch,
        "pickle": read_pickle,
        "params": read_params,
        "safetensors": read_safetensors,
        "checkpoint": _read_checkpoint,
    }
    arrays = gluoncv_to_torch(readers[kind](path))
    if not arrays and kind != "checkpoint":
        raise UserError(f"{path}: holds no tensors")
    return kind, arrays


def _read_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    arrays, state = read_archive(Path(path))
    start = len(_PARAMETERS)
    arrays = {name[start:]: value for name, value in arrays.items() if name.startswith(_PARAMETERS)}
    try:
        epsilon = float(state.get("options", {}).get("norm_epsilon", EPSILON))
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{path}: not a checkpoint of this library; its options are not readable") from None
    return arrays if epsilon == EPSILON else refit_norms(arrays, epsilon, EPSILON)
