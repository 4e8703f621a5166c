"""Reads weight files of all kinds, which are told apart by their content, to arrays by name."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import as_path
from .archive import STATE, read_archive
from .backbone_names import gluoncv_to_torch
from .norms import EPSILON, refit_norms
from .params_file import FILE_MAGIC, read_params
from .pickles import read_pickle
from .safetensors_file import read_safetensors
from .torch_reader import LEGACY_START, ZIP_START, read_torch, readable

# Every .params file starts with this, since version 0.5 of MXNet.
_PARAMS_START = struct.pack("<Q", FILE_MAGIC)
_PARAMETERS = "parameters/"


def kind_of(path: str | Path) -> str:
    """Returns the kind of a weight file, which is found out from its content and not from its name.

    It is ``torch``, ``pickle``, ``params``, ``safetensors`` or ``checkpoint``. Raises UserError when there is
    no such file, or it is none of these.
    """
    path = as_path(path)
    with readable(path, "weight file"), path.open("rb") as file:
        start = file.read(512)
    if start.startswith(ZIP_START):
        return "checkpoint" if _is_checkpoint(path, start) else "torch"
    # A tar archive, of PyTorch before 0.2, has its mark in the middle of the first header.
    if start.startswith(LEGACY_START) or start[257:262] == b"ustar":
        return "torch"
    if start.startswith(_PARAMS_START):
        return "params"
    # safetensors: eight bytes with the length of the header, which is JSON.
    if start[8:9] == b"{":
        return "safetensors"
    # Pickles start with a protocol number from 2 on, and before that with the dictionary.
    if start[:1] == b"\x80" or start[:2] in (b"(d", b"}q"):
        return "pickle"
    what = "is empty" if not start else "is no weight file that is known"
    raise UserError(f"{path}: {what}; known are .pth, .pt, .pickle, .params, .safetensors and .ckpt")


def _is_checkpoint(path: Path, start: bytes) -> bool:
    # A checkpoint that is cut off has lost the list of its members, but its first member still has this name.
    if start[30:].startswith(STATE.encode()):
        return True
    with readable(path, "weight file"):
        try:
            with zipfile.ZipFile(path) as archive:
                return STATE in archive.namelist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError):
            return False


def read_weights(path: str | Path) -> tuple[str, dict[str, np.ndarray]]:
    """Returns the kind of a weight file, as `kind_of` does, and its arrays by name.

    The names are those of the file, with two exceptions: those of a ``params`` file lose ``arg:`` and
    ``aux:``, and those of GluonCV's ResNet v1b become torchvision's. Of a ``checkpoint`` the parameters of
    the network are returned, refitted to the usual epsilon where its frozen norms have another. Nothing in
    the file is run. Raises UserError for a file that is missing, damaged, empty or something else.
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
    arrays, state = read_archive(as_path(path))
    start = len(_PARAMETERS)
    arrays = {name[start:]: value for name, value in arrays.items() if name.startswith(_PARAMETERS)}
    try:
        epsilon = float(state.get("options", {}).get("norm_epsilon", EPSILON))
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{path}: not a checkpoint of this library; its options are not readable") from None
    return arrays if epsilon == EPSILON else refit_norms(arrays, epsilon, EPSILON)
