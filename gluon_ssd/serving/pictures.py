"""From the bytes of an upload to the network's input, and to the annotated image."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..data.header import Header, read_header
from ..data.images import decode_image
from ..data.orientation import upright_size
from ..data.records import Record
from ..data.transforms import EvalTransform
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


@dataclass(frozen=True)
class _Packed:
    """The bytes of an upload as what a `Record` reads."""

    data: bytes

    def read(self) -> bytes:
        return self.data


class Reader:
    """Makes inputs of uploads, the same as `Detector` makes of files. Any thread may call it."""

    def __init__(self, detector: Detector, max_pixels: int) -> None:
        self._detector, self._max_pixels = detector, max_pixels
        self._transform = EvalTransform(detector.preprocess)
        # An exported file may take pixels as they are, and then no JPEG is decoded at a fraction of its size.
        self._pixels = detector.prepare([np.zeros((1, 1, 3), np.uint8)]).dtype == np.uint8

    def blank(self) -> Prepared:
        """Returns the input of a black image."""
        height, width = size = self._detector.preprocess.size
        return Prepared(self._detector.prepare([np.zeros((height, width, 3), np.uint8)])[0], size)

    def read(self, upload: Upload) -> Prepared:
        """Returns the input of an image.

        Raises UserError for what is not an image or is damaged, and TooLarge before anything is decoded.
        """
        width, height = upright_size(self._header(upload))
        if self._pixels:
            picture = decode_image(upload.data, upload.name, apply_exif=True)
            return Prepared(self._detector.prepare([picture])[0], (picture.shape[0], picture.shape[1]))
        none = np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.bool_)
        packed = _Packed(upload.data)
        record = Record(0, Path(upload.name), width, height, *none, packed=packed, orientation="upright")
        out = self._transform.empty()
        self._transform.load(record, np.random.default_rng(0), out)
        return Prepared(out, (height, width))

    def _header(self, upload: Upload) -> Header:
        header = read_header(io.BytesIO(upload.data))
        if header is None or not all(header.size):
            raise UserError(f"{upload.name}: not an image whose size can be read")
        width, height = header.size
        if width * height > self._max_pixels:
            most = f"{self._max_pixels / 1e6:g} megapixels"
            raise TooLarge(f"{upload.name}: an image of {width}x{height}; the server takes up to {most}")
        return header


def draw(upload: Upload, found: Detections, kind: str) -> bytes:
    """Returns the image with its boxes, encoded as ``kind``, JPEG or PNG."""
    picture = decode_image(upload.data, upload.name, apply_exif=True)
    buffer = io.BytesIO()
    Image.fromarray(replace(found, source=picture).plot()).save(buffer, kind, quality=92)
    return buffer.getvalue()
