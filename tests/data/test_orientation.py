"""Which way is up: EXIF orientation of every kind of file, and boxes that agree with the pixels on every
path.
"""

from __future__ import annotations

import io
import json
import warnings

import numpy as np
import pytest
from PIL import Image

from gluon_ssd.data import orientation
from gluon_ssd.data.header import Header, read_header
from gluon_ssd.data.images import decode_image
from gluon_ssd.data.opening import open_dataset
from gluon_ssd.data.preprocess import Preprocess
from gluon_ssd.data.record_files.prepare import prepare_records
from gluon_ssd.data.transforms import EvalTransform

# What a viewer does with the stored pixels, as Pillow calls it (EXIF 2.3, tag 274).
VIEWER = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A white box on black, in the stored picture.
STORED, WHITE = (96, 64), (56, 8, 88, 24)


def stored(size=STORED, box=WHITE):
    image = Image.new("RGB", size)
    image.paste((255, 255, 255), box)
    return image


def encode(image, turn, kind="JPEG"):
    exif = Image.Exif()
    exif[0x0112] = turn
    stream = io.BytesIO()
    image.save(stream, kind, exif=exif, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}))
    return stream.getvalue()


def white_box(image):
    rows, columns = np.nonzero(np.asarray(image)[..., 0] > 128)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_of_every_kind_of_file(kind, turn):
    data = encode(stored(), turn, kind)
    assert read_header(io.BytesIO(data)) == Header(96, 64, turn)
    viewed = stored().transpose(VIEWER[turn]) if turn > 1 else stored()
    upright = decode_image(data, "x", apply_exif=True)
    assert white_box(upright) == white_box(viewed)
    assert white_box(decode_image(data, "x")) == list(WHITE)
    size = viewed.size
    assert white_box(decode_image(data, "x", stored=size[::-1], orientation="upright")) == white_box(viewed)
    assert list(orientation.turned_box(WHITE, STORED, turn)) == white_box(viewed)
    np.testing.assert_array_equal(orientation.turned_back(upright, turn), decode_image(data, "x"))


@pytest.mark.parametrize("turn", range(5, 9))
def test_a_reduced_decode_is_turned_too(turn):
    data = encode(stored((192, 128), (112, 16, 176, 48)), turn)
    small = decode_image(data, "x", reduction=2, stored=(192, 128))
    assert white_box(small) == white_box(stored().transpose(VIEWER[turn]))


def test_exif_that_is_damaged_is_no_orientation():
    data = encode(stored(), 6)
    for broken in (data.replace(b"\x01\x12\x00\x03", b"\x01\x12\x00\x07"), data.replace(b"Exif", b"exif")):
        assert broken != data and read_header(io.BytesIO(broken)) == Header(96, 64, 1)
    for cut in range(0, 200, 7):
        read_header(io.BytesIO(data[:cut]))
    assert read_header(io.BytesIO(encode(stored(), 9))) == Header(96, 64, 1)


@pytest.mark.parametrize(
    ("header", "declared", "way", "turn"),
    [
        (Header(96, 64, 6), (64, 96), "auto", 6),
        (Header(96, 64, 6), (96, 64), "auto", 1),
        # Where the size tells, the option does not decide.
        (Header(96, 64, 6), (96, 64), "upright", 1),
        (Header(96, 64, 6), (64, 96), "stored", 6),
        (Header(96, 64, 3), (96, 64), "auto", 3),
        (Header(96, 64, 3), (96, 64), "stored", 1),
        (Header(64, 64, 6), (64, 64), "auto", 6),
        (Header(64, 64, 6), (64, 64), "stored", 1),
        (Header(96, 64, 6), None, "auto", 6),
        (Header(96, 64, 6), None, "stored", 1),
        (Header(96, 64, 1), (96, 64), "auto", 1),
    ],
)
def test_the_frame_that_boxes_are_for(header, declared, way, turn):
    assert orientation.turn_for(header, declared, way) == turn


def coco_set(root, turn, declared, box):
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        (root / split / "p.jpg").write_bytes(encode(stored(), turn))
        left, top, right, bottom = box
        content = {
            "images": [{"id": 1, "file_name": "p.jpg", "width": declared[0], "height": declared[1]}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "bbox": [left, top, right - left, bottom - top]}
            ],
            "categories": [{"id": 1, "name": "white"}],
        }
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def seen(record):
    """Where the network sees white, and where it is told that the object is: both in 64ths of the input."""
    transform = EvalTransform(Preprocess(size=(64, 64)))
    out = transform.empty()
    boxes, _ = transform.load(record, np.random.default_rng(0), out)
    return white_box(transform.preprocess.restore(out)), [round(64 * side) for side in boxes[0].tolist()]


def agree(record):
    white, told = seen(record)
    assert np.abs(np.subtract(white, told)).max() <= 1, (white, told)


@pytest.mark.parametrize("turn", [3, 6, 8])
@pytest.mark.parametrize("way", ["stored", "upright"])
def test_boxes_and_pixels_agree_on_every_path(tmp_path, turn, way):
    if way == "stored":
        declared, box = STORED, WHITE
    else:
        declared = stored().transpose(VIEWER[turn]).size
        box = tuple(int(side) for side in white_box(stored().transpose(VIEWER[turn])))
    root = coco_set(tmp_path / "set", turn, declared, box)
    data = open_dataset(root, "train", orientation=way)
    agree(data.records[0])
    assert white_box(data.records[0].pixels()) == list(box)
    prepare_records(data, tmp_path / "packed", "train")
    packed = open_dataset(tmp_path / "packed", "train")
    agree(packed.records[0])
    assert white_box(Image.open(io.BytesIO(packed.records[0].agreeing()))) == list(box)


@pytest.mark.parametrize("turn", [3, 6, 8])
@pytest.mark.parametrize("way", ["stored", "upright"])
@pytest.mark.parametrize("target", ["coco", "voc", "yolo", "openimages"])
def test_a_turned_picture_survives_every_conversion(cli, tmp_path, turn, way, target):
    viewed = stored().transpose(VIEWER[turn])
    declared, box = (STORED, WHITE) if way == "stored" else (viewed.size, white_box(viewed))
    coco_set(tmp_path / "set", turn, declared, [int(side) for side in box])
    result = cli("convert-data", "set", "out", "--to", target, "--orientation", way)
    assert result.status == 0, result
    data = open_dataset(tmp_path / "out", "train")
    agree(data.records[0])
    assert white_box(data.records[0].pixels()) == white_box(viewed)


def test_what_was_assumed_is_said(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("gluon_ssd.report.data_check._write_pictures", lambda *arguments: [])
    coco_set(tmp_path / "set", 3, STORED, WHITE)
    assert (
        "warning: images that EXIF turns, where the size does not tell for which way up boxes are; they are"
        in cli("convert-data", "set", "out").out
    )
    report = cli("check", "set", "--model", "ssd_tiny", "--output", "one").out
    assert (
        "warning: train: 1 images whose EXIF orientation their size does not show: "
        "set/train/p.jpg: orientation 3" in report
    )
    report = cli("check", "set", "--model", "ssd_tiny", "--output", "two", "--orientation", "stored").out
    assert "note: train: 1 images with an EXIF orientation" in report
    found = json.loads((tmp_path / "two" / "findings.json").read_text())["findings"]
    told = "set/train/p.jpg: orientation 3, boxes taken for the stored picture"
    assert [told] in [row["items"] for row in found]
    orientation.say_assumed.cache_clear()
    with pytest.warns(UserWarning, match="their boxes are taken to be for the upright picture"):
        open_dataset(tmp_path / "set", "train").records[0].pixels()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_dataset(tmp_path / "set", "train").records[0].pixels()


def test_the_recipe_of_a_training_decides_for_val_too(cli, tmp_path):
    coco_set(tmp_path / "set", 3, STORED, WHITE)
    flags = ("--recipe", "ssd_tiny/smoke", "--batch-size", 1, "--max-steps", 1, "--output", "run")
    assert cli("train", *flags, "--data", "set", "--orientation", "stored").status == 0
    orientation.say_assumed.cache_clear()
    result = cli("val", "run")
    assert (result.status, result.err) == (0, "")


def test_dali_gets_pictures_that_agree_with_their_boxes(tmp_path):
    pytest.importorskip("nvidia.dali")
    from gluon_ssd.data.dali import DaliLoader
    from gluon_ssd.data.loader import NativeLoader

    for turn in (3, 6):
        for way in ("stored", "upright"):
            viewed = stored().transpose(VIEWER[turn])
            declared, box = (STORED, WHITE) if way == "stored" else (viewed.size, white_box(viewed))
            root = coco_set(tmp_path / f"{turn}{way}", turn, declared, [int(side) for side in box])
            data = open_dataset(root, "train", orientation=way)
            transform = EvalTransform(Preprocess(size=(64, 64)))
            native, dali = (next(iter(loader(data, transform, 1))) for loader in (NativeLoader, DaliLoader))
            np.testing.assert_allclose(dali.images.asnumpy(), native.images, atol=0.25)
            np.testing.assert_allclose(dali.boxes, native.boxes, atol=1e-5)
