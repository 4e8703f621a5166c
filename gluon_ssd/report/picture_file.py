"""A picture as a file, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import UserError
from ..files import as_path, atomic_write


def write_picture(pixels: np.ndarray, path: str | Path) -> None:
    """Writes an image, (H, W, 3) uint8 RGB, in the format of the suffix of ``path``.

    Raises UserError when the file cannot be written or the suffix is not known.
    """
    target = as_path(path)
    try:
        # By the suffix, which the temporary file does not have.
        kind = Image.registered_extensions()[target.suffix.lower()]
        with atomic_write(target, durable=False) as temporary:
            # Formats that have no quality ignore it.
            Image.fromarray(pixels).save(temporary, kind, quality=92)
    except (KeyError, ValueError) as error:
        reason = f"no known suffix {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{path}: the picture cannot be written: {reason}") from None
