"""Reading pictures: bytes to RGB uint8, and the antialiased resize.

What becomes of pictures that are not plain 8-bit RGB (each case is tested):

* grey is repeated over the three channels; CMYK and YCCK JPEGs are converted to RGB;
* of 16-bit samples the high byte is kept; an alpha channel is dropped (not blended);
* EXIF orientation is followed where the picture's boxes are for the upright picture (see orientation.py);
* a JPEG without its end marker, or a PNG without its last chunk, is refused, because OpenCV would fill the
  missing part with grey and report nothing;
* JPEG 2000 is decoded by Pillow, because OpenCV's decoder crashes on some damaged files, and so are the
  formats that OpenCV does not know: GIF, AVIF, and HEIC where ``pillow-heif`` is installed.
"""

from __future__ import annotations

import functools
import io
import os
import threading
from typing import BinaryIO, Union

import cv2
import numpy as np
from PIL import Image

from ..errors import UserError
from ..files import IMAGE_SUFFIXES, as_path, refuse_device
from .header import JPEG, TIFF, Header, read_header, with_plain_alpha
from .orientation import is_ambiguous, say_assumed, turn_for, turned, turned_back
from .pixel_limit import check_pixels, set_limit
from .truncation import is_complete

set_limit()
_PILLOW = threading.Lock()
_JPEG_2000 = (b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_GIF = (b"GIF87a", b"GIF89a")
# AVIF and HEIC files begin with a box "ftyp", behind four bytes of its length.
_ISO_MEDIA = b"ftyp"
_HEIC = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1", b"ftyphevc")
# OpenCV before 4.11 decodes to BGR only; OpenCV 5 refuses the bits of both orders together.
_RGB: int = getattr(cv2, "IMREAD_COLOR_RGB", 0)
_REDUCED = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
# A reduced decode is used when at least this many decoded pixels remain for one of the result, along each
# axis.
_SPARE = 1.25

PathLike = Union[str, "os.PathLike[str]"]
ImageLike = Union[PathLike, Image.Image, np.ndarray]


def rgb_pixels(image: ImageLike) -> np.ndarray:
    """Returns the pixels of an image that a user gave, RGB uint8 (H, W, 3).

    A file is read and turned upright by its EXIF orientation. A PIL image of any mode is taken as it stands,
    and so is a uint8 array: (H, W) or (H, W, 1) grey, (H, W, 3) RGB, (H, W, 4) RGBA, whose alpha is dropped.
    Raises UserError for a file that cannot be read and for anything else; the message names its shape.
    """
    if isinstance(image, (str, os.PathLike)):
        return read_image(image, apply_exif=True)
    if isinstance(image, Image.Image):
        image = _from_pillow(image)
    if not isinstance(image, np.ndarray):
        raise UserError(f"an image must be a path, a PIL image or a NumPy array, got {type(image).__name__}")
    return _from_array(image)


def _from_array(array: np.ndarray) -> np.ndarray:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or not array.size:
        raise UserError(
            "an image array must be uint8 of shape (height, width, 3) RGB, (height, width, 4) RGBA or "
            f"(height, width) grey; this one is {array.shape} {array.dtype}"
        )
    if channels == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    # A view that is mirrored or sliced is copied, because OpenCV takes only contiguous memory.
    return np.ascontiguousarray(array if channels == 3 else array[..., :3])


def _from_pillow(image: Image.Image) -> np.ndarray:
    try:
        # Pillow reads a file that it has opened only now, and two threads must not do so at once.
        with _PILLOW:
            # Pillow's own conversion clips 16-bit samples at 255 instead of scaling them.
            if image.mode.startswith("I"):
                return np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8)
            return np.array(image.convert("RGB"))
    except Exception as error:  # damage makes Pillow raise many kinds
        raise UserError(f"a PIL image, mode {image.mode}, size {image.size}: {error}") from None


def read_image(path: PathLike, apply_exif: bool = False) -> np.ndarray:
    """Reads a picture as RGB uint8 (H, W, 3).

    ``apply_exif`` turns it upright as its EXIF orientation says. Raises UserError, naming the file, when it
    is missing, empty, truncated, or not a picture.
    """
    return decode_image(read_bytes(path), path, apply_exif=apply_exif)


def read_bytes(path: PathLike) -> bytes:
    """Returns the content of a file. Raises UserError when it is missing, unreadable, endless or empty."""
    try:
        path = as_path(path)
        refuse_device(path)
        with open(path, "rb", buffering=0) as stream:
            data = stream.read()
    except (OSError, ValueError) as error:  # of a name with a NUL in it
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason}); check the path") from None
    if not data:
        raise UserError(f"{path}: the file is empty (0 bytes); copy or download it again")
    return data


def file_header(path: PathLike) -> Header:
    """Returns size and orientation of an image file. Raises UserError where it is missing or no image."""
    try:
        refuse_device(path)
        with open(path, "rb") as stream:
            header = read_header(stream)
    except FileNotFoundError:
        raise UserError(f"{path}: the image is missing") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    if header is None:
        raise UserError(f"{path}: not an image whose size can be read; replace or remove it")
    return header


def decode_image(
    data: bytes,
    name: PathLike,
    *,
    apply_exif: bool = False,
    reduction: int = 1,
    stored: tuple[int, int] | None = None,
    orientation: str = "auto",
) -> np.ndarray:
    """Decodes a picture's bytes to RGB uint8 (H, W, 3).

    ``reduction`` 2, 4 or 8 decodes at that fraction of the size (JPEG does it inside the inverse DCT).
    ``stored`` is the (height, width) that the data set gives for the picture. The picture is turned to the
    one of its two frames, stored or upright, that has this size; where both have it, ``orientation`` decides
    (see `turn_for`). Without ``stored``, ``apply_exif`` turns it upright. ``name`` is the file named in
    errors.

    Raises UserError for a picture that is truncated, cannot be decoded, or has the ``stored`` size neither as
    stored nor upright.
    """
    if not is_complete(data):
        raise UserError(f"{name}: the picture is truncated ({len(data)} bytes); copy or download it again")
    header = read_header(io.BytesIO(data))
    turn = _turn(header, stored, orientation, apply_exif)
    if header is not None and stored is not None:
        # The size is checked before anything is decoded, because a header that lies may claim gigabytes of
        # pixels.
        height, width = header.size[::-1]
        check_size((width, height) if turn > 4 else (height, width), stored, 1, name)
    if header is not None:
        check_pixels(header, data, name)
    image = _decode(data, reduction)
    if image is None:
        if data[4:12] in _HEIC and not _know_heic():
            raise UserError(f"{name}: a HEIC picture, which can be read after: pip install pillow-heif")
        raise UserError(f"{name}: not a picture that can be decoded; replace or remove it")
    if header is not None and header.orientation != 1 and data.startswith(TIFF):
        # OpenCV turns TIFF files, and only these, by their orientation whatever flags it is given; that is
        # undone here.
        image = turned_back(image, header.orientation)
    image = turned(image, turn) if turn != 1 else image
    if stored is not None:
        check_size(image.shape[:2], stored, reduction, name)
    return image


def _turn(header: Header | None, stored: tuple[int, int] | None, orientation: str, apply_exif: bool) -> int:
    """Returns the EXIF orientation to apply, 1 for none; see `decode_image`."""
    if header is None or header.orientation == 1:
        return 1
    if stored is None:
        return header.orientation if apply_exif else 1
    if orientation == "auto" and is_ambiguous(header):
        say_assumed()
    return turn_for(header, (stored[1], stored[0]), orientation)


def is_for_all(stream: BinaryIO) -> bool:
    """Returns whether all decoders return the same pixels of a picture, as far as its beginning tells.

    They do not for one that EXIF turns, nor for GIF, AVIF and HEIC, which only Pillow reads.
    """
    header = read_header(stream)
    stream.seek(0)
    return (header is None or header.orientation == 1) and not _is_pillows(stream.read(16))


def agreeing_bytes(data: bytes, name: PathLike, stored: tuple[int, int], orientation: str) -> bytes:
    """Returns a picture's bytes for decoders that may or may not follow EXIF orientation.

    A picture for which `is_for_all` is true is returned as it is. Any other is turned as its boxes want it
    and encoded as PNG without EXIF, so that every decoder returns the same pixels. For ``stored`` and
    ``orientation``, and for the UserError that is raised, see `decode_image`.
    """
    if is_for_all(io.BytesIO(data)):
        return data
    image = decode_image(data, name, stored=stored, orientation=orientation)
    encoded: bytes = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    return encoded


def _decode(data: bytes, reduction: int) -> np.ndarray | None:
    """The stored pixels, or the upright ones of a TIFF; None where they cannot be decoded."""
    if data.startswith(_JPEG_2000) or _is_pillows(data):
        return _decode_by_pillow(data)
    if data.startswith(TIFF):
        data = with_plain_alpha(data)
    # EXIF is ignored here, since only the data set tells whether its boxes are for the upright picture.
    flags = _REDUCED[reduction] | (_RGB or cv2.IMREAD_COLOR) | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return image if _RGB or image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _is_pillows(data: bytes) -> bool:
    return data.startswith(_GIF) or data[4:8] == _ISO_MEDIA


def _decode_by_pillow(data: bytes) -> np.ndarray | None:
    _know_heic()
    try:
        return _from_array(_from_pillow(Image.open(io.BytesIO(data))))
    except Exception:  # damage makes Pillow raise many kinds
        return None


@functools.cache
def _know_heic() -> bool:
    """Lets Pillow read HEIC where ``pillow-heif`` is installed, and returns whether it does."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


@functools.cache
def image_suffixes() -> frozenset[str]:
    """Returns the suffixes of the files that can be decoded here, in lower case."""
    from PIL import features

    more = {".avif"} if "avif" in features.get_supported() else set()
    return IMAGE_SUFFIXES | more | ({".heic", ".heif"} if _know_heic() else set())


def is_image_name(name: str) -> bool:
    """Returns whether a file of this name is taken for a picture: by its suffix, and if it is not hidden."""
    return os.path.splitext(name)[1].lower() in image_suffixes() and not os.path.basename(name).startswith(
        "."
    )


def is_jpeg(data: bytes) -> bool:
    """Returns whether the bytes begin as a JPEG does. Only JPEG gains from a reduced decode."""
    return data.startswith(JPEG)


def choose_reduction(region: tuple[int, int], size: tuple[int, int]) -> int:
    """Returns the largest of 8, 4, 2, 1 that leaves a ``region`` (h, w) enough pixels for ``size`` (h, w)."""
    ratio = min(region[0] / size[0], region[1] / size[1])
    return next((step for step in (8, 4, 2) if ratio >= _SPARE * step), 1)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes uint8 (H, W, C) to ``size`` (h, w): bilinear, and antialiased where it shrinks.

    Pillow and DALI, with which the published networks were trained, widen the bilinear kernel when they
    shrink a picture; OpenCV's kernel stays narrow and skips pixels. Here each axis is resampled to a small
    multiple of the target and that multiple is averaged. On COCO's images the result is within 1% of Pillow's
    (root mean square of the levels), in less than half of its time.
    """
    height, width = size
    tall, wide = _oversampling(image.shape[0] / height), _oversampling(image.shape[1] / width)
    if tall == 0 or wide == 0:
        # OpenCV averages over an area only where no side grows; one that does follows in a second step.
        shrunk = min(width, image.shape[1]), min(height, image.shape[0])
        image = cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA)
        tall = wide = 1
    if image.shape[:2] != (height * tall, width * wide):
        image = cv2.resize(image, (width * wide, height * tall), interpolation=cv2.INTER_LINEAR)
    # Area averaging of a whole multiple is the mean of that many samples.
    if tall == wide == 1:
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _oversampling(ratio: float) -> int:
    """Samples to average per output pixel along one axis; 0 where they are too many for a detour to pay."""
    if ratio <= 1.1:
        return 1
    # With more samples than four the first step changes little, so the average over the area is taken
    # outright.
    return next((count for limit, count in ((2.5, 2), (3.5, 3), (4.5, 4)) if ratio <= limit), 0)


def check_size(found: tuple[int, ...], stored: tuple[int, int], reduction: int, name: PathLike) -> None:
    """Raises UserError unless a picture that was decoded at 1/``reduction`` has the ``stored`` size.

    ``found`` is its decoded (h, w) and ``stored`` the (h, w) of its annotation.
    """
    # A reduced decode rounds up.
    if tuple(found) != tuple(-(-side // reduction) for side in stored):
        height, width = (side * reduction for side in found)
        about = "about " if reduction > 1 else ""
        raise UserError(
            f"{name}: the picture is {about}{width}x{height} but its annotation says "
            f"{stored[1]}x{stored[0]} (and when turned by EXIF it is not so either); correct width and height"
        )


def stored_size(data: bytes) -> tuple[int, int] | None:
    """Returns (width, height) of a picture before any EXIF rotation; None without a readable header."""
    header = read_header(io.BytesIO(data))
    return header and header.size
