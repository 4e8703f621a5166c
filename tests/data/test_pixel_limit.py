"""How many pixels a picture may have: Pillow's numbers for every format, held before anything is decoded."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import cv2
import pytest
from PIL import Image

from gluon_ssd.data.header import Header
from gluon_ssd.data.images import decode_image, file_header
from gluon_ssd.data.pixel_limit import check_pixels
from gluon_ssd.errors import UserError

WARNED = 89_478_485  # Pillow's MAX_IMAGE_PIXELS


def encoded(kind, mode="RGB", size=(64, 48), **options):
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind, **options)
    return stream.getvalue()


def claiming(kind, width, height):
    """A small picture whose header tells of another size."""
    data = bytearray(encoded(kind))
    place, size, order = {
        "PNG": (16, 4, "big"),
        "JPEG": (data.find(b"\xff\xc0") + 5, 2, "big"),
        "BMP": (18, 4, "little"),
        "GIF": (6, 2, "little"),
    }[kind]
    sides = (height, width) if kind == "JPEG" else (width, height)
    data[place : place + 2 * size] = b"".join(side.to_bytes(size, order) for side in sides)
    return bytes(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_a_header_that_tells_of_too_many_pixels_is_refused_before_decoding(kind, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(UserError, match="^x: its header tells of 16000x12000 pixels") as caught:
        decode_image(claiming(kind, 16_000, 12_000), "x")
    held = kind in ("PNG", "JPEG")
    wanted = "bytes can hold; replace or remove it" if held else "at most 178956970 are read; set GLUON_SSD"
    assert wanted in str(caught.value) and "\n" not in str(caught.value)


def test_a_bitmap_beyond_the_limit_still_has_a_size(tmp_path):
    (tmp_path / "a.bmp").write_bytes(claiming("BMP", 60_000, 60_000))
    before = Image.MAX_IMAGE_PIXELS
    assert file_header(tmp_path / "a.bmp") == Header(60_000, 60_000)
    assert Image.MAX_IMAGE_PIXELS == before == WARNED


@pytest.mark.parametrize(
    ("pixels", "size", "words"),
    [
        (WARNED, 500, None),
        (WARNED + 1, 500, "from 89478485 on a file needs a byte for each 1000, and has 500; set GLUON"),
        (170_000_000, 170_000, None),
        (2 * WARNED, 200_000, None),
        (2 * WARNED + 1, 1_000_000, "at most 178956970 are read; set GLUON_SSD_MAX_PIXELS=178956971 to"),
    ],
)
def test_from_pillows_number_on_a_file_needs_bytes_and_twice_as_many_pixels_are_refused(pixels, size, words):
    data = b"RIFF" + bytes(size - 4)
    if words is None:
        check_pixels(Header(pixels, 1), data, "x")
    else:
        with pytest.raises(UserError, match=words):
            check_pixels(Header(pixels, 1), data, "x")


def test_the_limit_is_pillows_and_may_be_set_or_taken_away(monkeypatch):
    for most in (200_000_000, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        check_pixels(Header(20_000, 10_000), b"RIFF", "x")


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "1", {}),
        ("PNG", "L", {}),
        ("PNG", "RGBA", {}),
        ("JPEG", "L", {}),
        ("JPEG", "RGB", {"progressive": True, "quality": 1}),
    ],
)
def test_a_blank_picture_is_never_held_for_a_lie(kind, mode, options):
    data = encoded(kind, mode, (6000, 4000), optimize=True, **options)
    check_pixels(Header(6000, 4000), data, "x")


def test_the_environment_sets_the_limit():
    code = "import gluon_ssd.data.images, PIL.Image; print(PIL.Image.MAX_IMAGE_PIXELS)"

    def told(text):
        environment = {**os.environ, "GLUON_SSD_MAX_PIXELS": text}
        return subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True)

    assert told("200000000").stdout.strip() == "200000000"
    last = told("many").stderr.strip().splitlines()[-1]
    assert last.endswith("GLUON_SSD_MAX_PIXELS is 'many'; it must be a number of pixels, such as 200000000")


def test_a_chunk_of_a_png_that_is_longer_than_the_file_is_refused_before_decoding(monkeypatch):
    """OpenCV made room for the length that the chunk tells."""
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    data = encoded("PNG")
    place = data.index(b"IDAT") - 4
    with pytest.raises(UserError, match="^x: the picture is truncated"):
        decode_image(data[:place] + b"\x40\0\0\0" + data[place + 4 :], "x")
