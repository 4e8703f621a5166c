"""How many pixels a picture may have, checked by its header before anything is decoded.

A file of a few bytes can tell of gigabytes of pixels. The limits are Pillow's, which users know, and hold for
every format: ``PIL.Image.MAX_IMAGE_PIXELS`` is 89,478,485, the number from which Pillow warns, and twice as
many are refused. The environment variable GLUON_SSD_MAX_PIXELS sets that number.
"""

from __future__ import annotations

import os

from PIL import Image

from ..errors import UserError
from .header import JPEG, PILLOW_LIMIT, PNG, Header

VARIABLE = "GLUON_SSD_MAX_PIXELS"
# A picture beyond Pillow's number needs a byte for so many pixels; photographs have a hundred times more.
_PER_BYTE = 1000
# Deflate, PNG's compression, makes at most so many bytes of one. A JPEG has a bit or more for every block of
# 8x8 in two of its channels at least, and a channel may have a sixteenth of the picture's pixels.
_DEFLATE, _JPEG_PER_BYTE = 1032, 4096
# By PNG's kind of colour.
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_HEAD = 26


def check_pixels(header: Header, data: bytes, name: object) -> None:
    """Raises UserError where a picture has more pixels than are read, or than its bytes ``data`` can hold.

    ``name`` is the file named in the error.
    """
    pixels = header.width * header.height
    with PILLOW_LIMIT:
        most = Image.MAX_IMAGE_PIXELS
    told = f"{name}: its header tells of {header.width}x{header.height} pixels"
    if pixels > _capacity(data):
        raise UserError(f"{told}, more than its {len(data)} bytes can hold; replace or remove it")
    if most is None or pixels <= most:
        return
    advice = f"set {VARIABLE}={pixels} to read it"
    if pixels > 2 * most:
        raise UserError(f"{told}, and at most {2 * most} are read; {advice}")
    if pixels > _PER_BYTE * len(data):
        why = f"from {most} on a file needs a byte for each {_PER_BYTE}, and has {len(data)}"
        raise UserError(f"{told}; {why}; {advice}")


def _capacity(data: bytes) -> float:
    """Returns how many pixels a file of these bytes can hold at most."""
    if data.startswith(PNG) and len(data) >= _PNG_HEAD:
        # Fewer than 8 bits make a byte together, except at the end of a row.
        return 8 * _DEFLATE * len(data) / max(1, data[24] * _CHANNELS.get(data[25], 1))
    if data.startswith(JPEG):
        return _JPEG_PER_BYTE * len(data)
    return float("inf")


def set_limit() -> None:
    """Gives Pillow the number that the environment has. Raises UserError where it is none."""
    text = os.environ.get(VARIABLE)
    if text is None:
        return
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 16 and int(text)):
        raise UserError(f"{VARIABLE} is {text!r}; it must be a number of pixels, such as 200000000")
    Image.MAX_IMAGE_PIXELS = int(text)
