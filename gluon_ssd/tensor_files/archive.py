"""The file format of checkpoints: a zip archive of NumPy arrays and one JSON document.

Reading it cannot run any code, and the checksums of the zip format find damage.
"""

from __future__ import annotations

import io
import json
import shlex
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import as_path, atomic_write, refuse_device

STATE = "state.json"
# The kinds of files that hold weights, by their suffix.
KINDS = {
    ".ckpt": "checkpoint",
    ".pth": "torch",
    ".pt": "torch",
    ".pickle": "pickle",
    ".pkl": "pickle",
    ".params": "params",
    ".safetensors": "safetensors",
}
# Bytes that an archive which somebody has compressed anew may hold.
_SMALL = 1 << 26


def write_archive(path: Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Writes ``arrays`` (name to array) and ``state`` (JSON values) to ``path``.

    The file appears whole or not at all. Raises UserError when it cannot be written.
    """
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        # Without a time of its own: the same checkpoint is the same file, and zip has no time before 1980,
        # where a clock that was never set begins.
        archive.writestr(zipfile.ZipInfo(STATE), json.dumps(state, indent=1))
        for name, array in arrays.items():
            # The size of a member is not known when it is opened, and it may exceed the 2 GiB of plain zip.
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def read_archive(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns the ``arrays`` and the ``state`` that `write_archive` wrote.

    Raises UserError for a file that is missing, damaged, or something else.
    """
    path = as_path(path)
    try:
        refuse_device(path)
        with zipfile.ZipFile(path) as archive:
            _refuse_bomb(archive, path.stat().st_size)
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
        # For damaged files zipfile and NumPy raise nearly anything, from struct.error to MemoryError.
        advice = "use another checkpoint of the run"
        # Files of weights alone are what some take for checkpoints.
        if KINDS.get(path.suffix.lower(), "checkpoint") != "checkpoint":
            names = shlex.join(map(str, (path, path.with_suffix(".ckpt"))))
            advice = f"make one of weights: gluon-ssd convert {names}"
        raise UserError(f"{path}: not a checkpoint of this library, or damaged; {advice}") from None
    if not isinstance(state, dict):
        raise UserError(f"{path}: not a checkpoint of this library; its {STATE} is not an object")
    return arrays, state


def _refuse_bomb(archive: zipfile.ZipFile, length: int) -> None:
    """Raises ValueError for members that are compressed or share bytes so that they could fill the memory."""
    if sum(info.file_size for info in archive.infolist()) > max(length, _SMALL):
        raise ValueError("holds far more than the file is long")
