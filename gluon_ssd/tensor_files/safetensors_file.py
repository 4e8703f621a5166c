"""Reads and writes safetensors files with their own library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, import_problem
from ..files import as_path, atomic_write
from .safe_pickle import short
from .torch_pickle import BFLOAT16, ElementType, element_array
from .torch_reader import readable

_CODES = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "BF16": BFLOAT16,
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U8": "u1",
    "U16": "u2",
    "U32": "u4",
    "U64": "u8",
    "BOOL": "b1",
}
# Loaders of PyTorch models look for this entry, which says that the tensors are PyTorch's.
_METADATA = {"format": "pt"}


def _library() -> Any:
    try:
        import safetensors
    except ModuleNotFoundError as error:
        raise (import_problem(error) or error) from None
    return safetensors


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a safetensors file by name.

    bfloat16 becomes float32 of the same values; other types and shapes are those of the file. Raises
    UserError when the library is not installed, or the file is missing, damaged, or of a type that NumPy
    lacks.
    """
    library, path = _library(), as_path(path)
    with readable(path, "safetensors file"):
        data = path.read_bytes()
    try:
        entries = library.deserialize(data)
    except library.SafetensorError as error:
        raise UserError(f"{path}: damaged, or no safetensors file: {short(str(error))}") from None
    arrays = {}
    for name, entry in entries:
        if entry["dtype"] not in _CODES:
            raise UserError(f"{path}: {short(name)} is of type {short(entry['dtype'])}, which NumPy lacks")
        flat = element_array(bytes(entry["data"]), ElementType(_CODES[entry["dtype"]]), big_endian=False)
        arrays[name] = flat.reshape(entry["shape"])
    return arrays


def write_safetensors(arrays: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Writes arrays by name with their types.

    The file appears whole or not at all. Raises UserError when the library is not installed, the format
    cannot hold the arrays, or the file cannot be written.
    """
    library = _library()
    from safetensors.numpy import save

    data = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    try:
        content = save(data, metadata=_METADATA)
    except (KeyError, library.SafetensorError) as error:
        raise UserError(f"{path}: safetensors cannot hold these: {short(str(error))}") from None
    # If the library wrote the file, a full disk would raise an exception of its own, and nobody but the owner
    # could read the result.
    with atomic_write(as_path(path)) as temporary:
        temporary.write_bytes(content)
