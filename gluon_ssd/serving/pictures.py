"""From the bytes of an upload to the network's input, and to the annotated image."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..data.header import read_header
from ..data.images import decode_image
from ..detections import Detections
from ..errors import UserError
from ..predict import Detector


class Upload(NamedTuple):
    """An encoded image that a client has sent. ``name`` is what the client calls it; no file is meant."""

    name: str
    data: bytes


class TooLarge(UserError):
    """An image that has more pixels than the server decodes."""


class Prepared(NamedTuple):
    """The network's input, and (height, width) of the upright image in pixels."""

    image: np.ndarray
    size: tuple[int, int]


class Reader:
    """Makes inputs of uploads, the same as `Detector` makes of files. Any thread may call it."""

    def __init__(self, detector: Detector, max_pixels: int) -> None:
        self._detector, self._max_pixels = detector, max_pixels

    def blank(self) -> Prepared:
        """Returns the input of a black image."""
        height, width = size = self._detector.preprocess.size
        return Prepared(self._detector.prepare([np.zeros((height, width, 3), np.uint8)])[0], size)

    def read(self, upload: Upload) -> Prepared:
        """Returns the input of an image.

        Raises UserError for what is not an image or is damaged, and TooLarge before anything is decoded.
        """
        self._check_size(upload)
        return Prepared(*self._detector.input_of_file(upload.data, upload.name))

    def _check_size(self, upload: Upload) -> None:
        header = read_header(io.BytesIO(upload.data))
        if header is None or not all(header.size):
            raise UserError(f"{upload.name}: not an image whose size can be read")
        width, height = header.size
        if width * height > self._max_pixels:
            most = f"{self._max_pixels / 1e6:g} megapixels"
            raise TooLarge(f"{upload.name}: an image of {width}x{height}; the server takes up to {most}")


def draw(upload: Upload, found: Detections, kind: str) -> bytes:
    """Returns the image with its boxes, encoded as ``kind``, JPEG or PNG."""
    picture = decode_image(upload.data, upload.name, apply_exif=True)
    buffer = io.BytesIO()
    Image.fromarray(replace(found, source=picture).plot()).save(buffer, kind, quality=92)
    return buffer.getvalue()
