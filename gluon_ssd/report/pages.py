"""Pages for a browser: one file of HTML each, with its style and its pictures inside."""

from __future__ import annotations

import base64
import functools
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import UserError
from ..files import atomic_write


def render(template: str, **values: Any) -> str:
    """Returns a page of the templates beside this file. A value that a template wants has to be given."""
    return _templates().get_template(template).render(**values)


@functools.cache
def _templates() -> Any:
    """Returns Jinja2's environment, which is kept because it compiles each template only once."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("gluon_ssd", "report"),
        # Names of files and classes may hold anything.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_page(path: Path, text: str) -> None:
    """Writes a page. Raises UserError when it cannot be written."""
    with atomic_write(path) as temporary:
        # A file's name may hold bytes that are no text.
        temporary.write_text(text, encoding="utf-8", errors="replace")


def as_data(picture: np.ndarray) -> str:
    """Returns an RGB uint8 picture as the URL of a JPEG that holds all of it."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def file_as_data(path: Path) -> str | None:
    """Returns a JPEG file as such a URL; None where none is. Raises UserError when it cannot be read."""
    if not path.is_file():
        return None
    try:
        return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
