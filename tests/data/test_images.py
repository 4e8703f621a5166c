"""Decoding pictures of every kind, and the resize."""

from __future__ import annotations

import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from gluon_ssd.data.images import choose_reduction, decode_image, file_header, read_image, resize_image
from gluon_ssd.errors import UserError

from .conftest import picture


def encode(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def fails(path, *parts):
    with pytest.raises(UserError) as caught:
        read_image(path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(path), *parts):
        assert part in message, message


def test_rgb_order_and_type():
    red = Image.new("RGB", (20, 10), (200, 30, 10))
    for kind in ("PNG", "JPEG", "BMP"):
        image = decode_image(encode(red, kind), "x")
        assert image.shape == (10, 20, 3) and image.dtype == np.uint8
        np.testing.assert_allclose(image[5, 5], [200, 30, 10], atol=3)


def test_grey_is_repeated():
    for kind in ("JPEG", "PNG"):
        image = decode_image(encode(Image.new("L", (6, 4), 99), kind), "x")
        assert image.shape == (4, 6, 3) and (image == 99).all()


def test_cmyk_agrees_with_pillow():
    data = encode(Image.fromarray(picture(60, 40)).convert("CMYK"), quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode_image(data, "x") - expected).max() <= 2


def test_sixteen_bit_png_keeps_the_high_byte():
    deep = np.array([[[0x1234, 0xFFFF, 0x00FF]]], np.uint16)
    data = cv2.imencode(".png", deep[..., ::-1])[1].tobytes()
    assert decode_image(data, "x").tolist() == [[[0x12, 0xFF, 0x00]]]


def test_sixteen_bit_grey_png():
    data = cv2.imencode(".png", np.full((3, 2), 0x8000, np.uint16))[1].tobytes()
    assert decode_image(data, "x").tolist() == [[[128] * 3] * 2] * 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_alpha_is_dropped(kind):
    """OpenCV multiplies the colours of a TIFF by its alpha, and so makes black of what is transparent."""
    image = decode_image(encode(Image.new("RGBA", (2, 2), (9, 8, 7, 0)), kind), "x")
    assert image.tolist() == [[[9, 8, 7]] * 2] * 2


def test_palette():
    image = decode_image(encode(Image.new("RGB", (3, 3), (1, 2, 250)).convert("P"), "PNG"), "x")
    assert image.shape == (3, 3, 3)


def test_one_pixel():
    for kind in ("JPEG", "PNG"):
        assert decode_image(encode(Image.new("RGB", (1, 1), (50, 50, 50)), kind), "x").shape == (1, 1, 3)


def test_exif_rotation_only_on_request(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "phone.jpg"
    path.write_bytes(encode(Image.fromarray(picture(40, 20)), exif=exif, quality=95))
    stored, upright = read_image(path), read_image(path, apply_exif=True)
    assert stored.shape == (20, 40, 3) and upright.shape == (40, 20, 3)
    np.testing.assert_array_equal(upright, np.rot90(stored, -1))


def test_bad_files_are_named(tmp_path):
    whole = encode(Image.fromarray(picture(64, 64)))
    path = tmp_path / "a.jpg"
    fails(path, "No such file")
    for data, part in (
        (b"", "empty"),
        (b"not a picture at all", "not a picture"),
        (whole[: len(whole) // 2], "truncated"),
        (whole[:-2], "truncated"),
        (whole[:-2] + bytes(500), "truncated"),
        (whole[:30], "truncated"),
        (whole[:2], "truncated"),
        (b"\xff\xd8\xff\xd9", "not a picture"),
    ):
        path.write_bytes(data)
        fails(path, part)
    fails(tmp_path, "cannot be read")
    png = tmp_path / "a.png"
    png.write_bytes(encode(Image.fromarray(picture(64, 64)), "PNG")[:-30])
    fails(png, "truncated")


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no such device")
def test_a_link_to_a_device_is_not_read(tmp_path):
    """Others than this one never end."""
    (tmp_path / "a.jpg").symlink_to("/dev/null")
    fails(tmp_path / "a.jpg", "cannot be read (is a pipe or device, not a file)")
    with pytest.raises(UserError, match="is a pipe or device"):
        file_header(tmp_path / "a.jpg")


def test_truncation_behind_a_thumbnail_that_is_whole():
    exif = Image.Exif()
    # As cameras do it: a small JPEG, end marker included, inside the header of the large one.
    exif[0x927C] = encode(Image.new("RGB", (8, 8)))
    whole = encode(Image.fromarray(picture(64, 64)), exif=exif)
    assert whole.count(b"\xff\xd9") == 2
    assert decode_image(whole, "x").shape == (64, 64, 3)
    with pytest.raises(UserError, match="truncated"):
        decode_image(whole[:-100], "x")


def test_bytes_after_the_end_are_harmless():
    whole = encode(Image.fromarray(picture(30, 20)))
    assert decode_image(whole + b"trailing \xff\xda junk", "x").shape == (20, 30, 3)
    assert decode_image(whole + bytes(3), "x").shape == (20, 30, 3)


def test_progressive():
    data = encode(Image.fromarray(picture(64, 64)), progressive=True)
    assert decode_image(data, "x").shape == (64, 64, 3)
    with pytest.raises(UserError, match="truncated"):
        decode_image(data[:-300], "x")


def test_reduced_decode_is_the_small_picture():
    data = encode(Image.fromarray(picture(161, 83)), quality=95)
    full = decode_image(data, "x")
    for step in (2, 4, 8):
        small = decode_image(data, "x", reduction=step, stored=(83, 161))
        assert small.shape == (-(-83 // step), -(-161 // step), 3)
        means = full[:80, :160].reshape(80 // step, step, 160 // step, step, 3).mean(axis=(1, 3))
        assert np.abs(small[: 80 // step, : 160 // step] - means).mean() < 3


def test_size_is_checked_against_the_annotation():
    data = encode(Image.fromarray(picture(40, 20)))
    with pytest.raises(UserError, match="x.jpg: the picture is 40x20 but its annotation says 20x40.*EXIF"):
        decode_image(data, "x.jpg", stored=(40, 20))


@pytest.mark.parametrize(
    "region, expected",
    [((480, 640), 1), ((749, 5000), 1), ((750, 750), 2), ((1500, 2000), 4), ((3000, 4000), 8), ((1, 1), 1)],
)
def test_choose_reduction(region, expected):
    assert choose_reduction(region, (300, 300)) == expected


@pytest.mark.parametrize("size", [(300, 300), (20, 31), (1, 1), (50, 400), (47, 63), (500, 100)])
def test_resize_shape(size):
    assert resize_image(picture(123, 77), size).shape == (*size, 3)


def test_resize_keeps_a_constant_and_the_same_size():
    assert (resize_image(np.full((97, 211, 3), 77, np.uint8), (30, 30)) == 77).all()
    image = picture(30, 20)
    np.testing.assert_array_equal(resize_image(image, (20, 30)), image)
    assert resize_image(image[:1, :1], (3, 2)).tolist() == [[image[0, 0].tolist()] * 2] * 3


@pytest.mark.parametrize("shape", [(100, 3000), (1400, 299)])
def test_one_side_is_antialiased_while_the_other_grows(shape):
    """As of a panorama; OpenCV averages over areas only where both sides shrink."""
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(noise).resize((300, 300), Image.BILINEAR), np.float64)
    assert np.sqrt(np.mean((resize_image(noise, (300, 300)) - expected) ** 2)) < 10


@pytest.mark.parametrize("ratio", [0.5, 1.3, 1.6, 2.13, 3.3, 4.2, 7.0])
def test_resize_is_antialiased_as_pillows(ratio):
    noise = np.random.RandomState(3).randint(0, 256, (420, 420, 3)).astype(np.uint8)
    side = round(420 / ratio)
    expected = np.asarray(Image.fromarray(noise).resize((side, side), Image.BILINEAR)).astype(float)
    ours = np.sqrt(np.mean((resize_image(noise, (side, side)) - expected) ** 2))
    plain = np.sqrt(np.mean((cv2.resize(noise, (side, side)) - expected) ** 2))
    # White noise is the hardest case; on photographs the difference is a tenth of this.
    assert ours < (1.0 if ratio < 1 else 0.55 * plain)


def jpeg_2000(array: np.ndarray) -> bytes:
    """Without loss, by OpenCV's encoder; Pillow decodes it."""
    return cv2.imencode(".jp2", array, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()


def test_jpeg_2000_of_every_kind():
    rgb = picture(60, 40)
    assert abs(decode_image(jpeg_2000(rgb[..., ::-1]), "x").astype(int) - rgb).max() <= 1
    deep = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    np.testing.assert_array_equal(decode_image(jpeg_2000(deep), "x"), np.stack([deep >> 8] * 3, axis=2))
    clear = np.dstack([rgb[..., ::-1], np.zeros(rgb.shape[:2], np.uint8)])
    assert abs(decode_image(jpeg_2000(clear), "x").astype(int) - rgb).max() <= 1


def test_damaged_jpeg_2000_is_not_given_to_opencv_which_crashes_on_some(monkeypatch):
    data = jpeg_2000(picture(60, 40))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("given to OpenCV"))
    assert decode_image(data, "x").shape == (40, 60, 3)
    for damaged in (data[:90], data[:40] + b"\xff" * 40 + data[80:], data[:12]):
        with pytest.raises(UserError, match="^x: not a picture that can be decoded; replace or remove it$"):
            decode_image(damaged, "x")


def test_a_header_that_lies_is_refused_before_anything_is_decoded(monkeypatch):
    """The header claims 60000 x 60000 pixels, which would take ten gigabytes."""
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    for kind in ("PNG", "JPEG"):
        data = bytearray(encode(Image.fromarray(picture(60, 40)), kind))
        place = 16 if kind == "PNG" else data.index(b"\xff\xc0") + 5
        side = (60000).to_bytes(4 if kind == "PNG" else 2, "big")
        data[place : place + 2 * len(side)] = side * 2
        with pytest.raises(UserError, match="^x: the picture is 60000x60000 but its annotation says 60x40 "):
            decode_image(bytes(data), "x", stored=(40, 60))


def test_a_heic_picture_names_the_package_that_reads_it(monkeypatch):
    monkeypatch.setattr("gluon_ssd.data.images._know_heic", lambda: False)
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    with pytest.raises(UserError, match="^x: a HEIC picture, .* pip install pillow-heif$"):
        decode_image(data, "x")
