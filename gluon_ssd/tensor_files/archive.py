"""The file format of checkpoints: a zip archive of NumPy arrays and one JSON document.

Nothing in it can run code when it is read, and the zip's checksums find damage.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import atomic_write

STATE = "state.json"


def write_archive(path: Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Writes ``arrays`` (name to array) and ``state`` (JSON values) atomically. Raises UserError."""
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(STATE, json.dumps(state, indent=1))
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def read_archive(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads what `write_archive` wrote. Raises UserError for a missing, damaged or other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            state = json.loads(archive.read(STATE))
            arrays = {}
            for name in archive.namelist():
                if name.endswith(".npy"):
                    data = io.BytesIO(archive.read(name))
                    arrays[name[: -len(".npy")]] = np.lib.format.read_array(data, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception:
        # Damage makes zipfile and NumPy raise nearly anything, from struct.error to MemoryError.
        raise UserError(
            f"{path}: not a checkpoint of this library, or damaged; use another checkpoint of the run"
        ) from None
    if not isinstance(state, dict):
        raise UserError(f"{path}: not a checkpoint of this library; its {STATE} is not an object")
    return arrays, state
