"""Data sets and pictures that are not as they should be, through the command line."""

import io
import json
import shutil
import threading

import cv2
import numpy as np
import pytest
from PIL import Image
from small import TRAIN, files, picture, refused, write_set

from gluon_ssd.data.transforms import EvalTransform


def threads():
    return [thread.name for thread in threading.enumerate() if "loader" in thread.name]


def rows(*boxes):
    return [
        {"id": k, "image_id": 1 + (k - 1) % 4, "category_id": 1, "bbox": box}
        for k, box in enumerate(boxes, start=1)
    ]


def encoded(kind, array=None, **options):
    buffer = io.BytesIO()
    image = Image.fromarray(picture(64, 48) if array is None else array)
    (image.convert("CMYK") if options.pop("cmyk", False) else image).save(buffer, kind, **options)
    return buffer.getvalue()


def rotated_jpeg(width, height, orientation=6):
    """A photograph stored as ``width`` x ``height`` pixels that a viewer is to turn."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded("JPEG", picture(width, height), exif=exif, quality=95)


@pytest.mark.parametrize("verb", ["train", "val"])
def test_missing_data_folder(cli, small_run, tmp_path, verb):
    arguments = TRAIN if verb == "train" else ("val", small_run, "--output", "run")
    refused(cli(*arguments, "--data", "gone"), "data folder gone does not exist", "annotations/")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"images": []}, ["'images' is empty"]),
        ({"annotations": None}, ["'annotations' must be a list"]),
        ({"annotations": []}, ["no images with objects (all 4 are without)", "check the annotations"]),
        ({"annotations": [{"id": 1, "image_id": 1, "category_id": 1}]}, ["annotations[0]", "'bbox'"]),
        ({"annotations": rows([0, 0, float("nan"), 5])}, ["annotation 1", "NaN"]),
        ({"annotations": rows([0, 0, 10**30, 5])}, ["annotation 1", "four numbers"]),
        ({"annotations": rows([0, 0, 5])}, ["annotation 1", "[x, y, width, height]"]),
        (
            {"annotations": [{"id": 7, "image_id": 1, "category_id": 9, "bbox": [0, 0, 5, 5]}]},
            ["annotation 7 has category_id 9, which is not in 'categories'"],
        ),
        (
            {"annotations": [{"id": 7, "image_id": 99, "category_id": 1, "bbox": [0, 0, 5, 5]}]},
            ["annotation 7 has image_id 99, which is not in 'images'"],
        ),
        ({"annotations": 2 * rows([0, 0, 5, 5])}, ["occur more than once in 'annotations', first 1"]),
        ({"categories": [{"id": 1, "name": "cat"}] * 2}, ["occur more than once in 'categories', first 1"]),
        (
            {"images": [{"id": 1, "file_name": "gone.jpg", "width": 64, "height": 48}], "annotations": []},
            ["1 of 1 images", "/set/train/gone.jpg)", "complete the download", "gluon-ssd check DATA"],
        ),
    ],
)
def test_an_unsound_annotation_file(cli, tmp_path, changes, parts):
    root = write_set(tmp_path / "set")
    path = root / "annotations" / "train.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    before = files(tmp_path)
    refused(cli(*TRAIN, "--data", root), *parts)
    assert files(tmp_path) == before
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(
    ("text", "part"), [('{"images": [', "not JSON (line 1"), ("{}", "'images'"), ("", "not JSON")]
)
def test_an_annotation_file_that_is_not_coco(cli, tmp_path, split, text, part):
    root = write_set(tmp_path / "set")
    (root / "annotations" / f"{split}.json").write_text(text)
    refused(cli(*TRAIN, "--data", root), f"{split}.json", part)
    assert not (tmp_path / "run").exists()


def test_boxes_that_enclose_nothing_are_left_out_and_counted(cli, tmp_path):
    boxes = ([0, 0, -5, 5], [0, 0, 5, 0], [100, 0, 5, 5], [-200, -200, 5, 5], [-5, -5, 30, 30], [1, 1, 9, 9])
    root = write_set(tmp_path / "set", annotations=rows(*boxes))
    result = cli(*TRAIN, "--data", root)
    assert (result.status, result.err) == (0, "")
    line = "training on 2 images; 2 images without objects are left out; 4 unusable boxes are left out\n"
    assert line in result.out
    assert "4 images evaluated" in result.out


def test_a_set_smaller_than_a_batch(cli, tmp_path):
    root = write_set(tmp_path / "set", count=1)
    refused(cli(*TRAIN, "--data", root), "1 images, too few for one batch of 2", "smaller batch size")
    assert not (tmp_path / "run").exists()


BROKEN = {
    "truncated": (encoded("JPEG")[:400], "truncated (400 bytes)"),
    "truncated in the header": (encoded("JPEG")[:30], "truncated (30 bytes)"),
    "zero bytes": (b"", "empty (0 bytes)"),
    "text": (b"this is no picture\n", "not a picture"),
    "other size": (encoded("JPEG", picture(32, 32)), "is 32x32 but its annotation says 64x48"),
    "rotated, other size": (rotated_jpeg(48, 32), "is 32x48 but its annotation says 64x48"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_picture_in_a_data_set(cli, small_run, tmp_path, what):
    content, part = BROKEN[what]
    root = write_set(tmp_path / "set", categories=[{"id": 1, "name": "square"}, {"id": 2, "name": "ring"}])
    for split in ("train", "val"):
        (root / split / "2.jpg").write_bytes(content)
    refused(cli(*TRAIN, "--batch-size", 4, "--data", root), "train/2.jpg", part)
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_picture_in_evaluation_is_not_scored_around(cli, small_run, shapes, tmp_path, what):
    content, part = BROKEN[what]
    images = tmp_path / "images"
    images.mkdir()
    for path in (shapes / "val").iterdir():
        (images / path.name).write_bytes(path.read_bytes())
    (images / "000002.jpg").write_bytes(content)
    result = cli("val", small_run, "--images", images, "--output", "out")
    refused(result, "images/000002.jpg", part.split(" but ")[0])
    assert result.out == ""
    assert files(tmp_path / "out") == {}


SKIP = ("--batch-size", 4, "--max-steps", 3, "--epochs", 3, "--eval-every", 0, "--on-bad-image", "skip")


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_picture_may_be_skipped_and_is_told_once(cli, tmp_path, what):
    content, part = BROKEN[what]
    root = write_set(tmp_path / "set")
    (root / "train" / "2.jpg").write_bytes(content)
    result = cli(*TRAIN, *SKIP, "--data", root)
    assert (result.status, result.err) == (0, "")
    for text in (result.out, (tmp_path / "run" / "train.log").read_text()):
        lines = [line for line in text.splitlines() if "image skipped" in line]
        assert len(lines) == 1 and "train/2.jpg: " in lines[0] and part in lines[0]
    assert threads() == []


def test_more_broken_pictures_than_one_percent_must_be_allowed(cli, tmp_path):
    root = write_set(tmp_path / "set")
    for number in (2, 3):
        (root / "train" / f"{number}.jpg").write_bytes(b"")
    result = cli(*TRAIN, *SKIP, "--data", root)
    refused(result, "2 of 4 images cannot be read", "max_bad_share 0.01", "gluon-ssd check DATA")
    shutil.rmtree(tmp_path / "run")
    result = cli(*TRAIN, *SKIP, "--data", root, "--max-bad-share", 0.5)
    assert (result.status, result.err, result.out.count("image skipped")) == (0, "", 2)
    (root / "train" / "1.jpg").write_bytes(b"")
    shutil.rmtree(tmp_path / "run")
    refused(cli(*TRAIN, *SKIP, "--data", root, "--max-bad-share", 0.5), "3 of 4 images cannot be read")
    assert threads() == []


def test_a_broken_picture_in_the_middle_of_an_epoch_names_the_check(cli, tmp_path):
    root = write_set(tmp_path / "set", count=12)
    (root / "train" / "5.jpg").write_bytes(b"")
    flags = ("--epochs", 1, "--max-steps", "none", "--checkpoint-steps", 1, "--eval-every", 0)
    result = cli(*TRAIN, *flags, "--data", root)
    refused(result, "train/5.jpg: the file is empty", "check DATA lists all such images; --on-bad-image skip")
    assert threads() == []


def test_a_bug_in_a_worker_ends_the_training_and_names_the_picture(cli, tmp_path, monkeypatch):
    original = EvalTransform.load

    def load(self, record, rng, out):
        if record.image_id == 3:
            raise ZeroDivisionError("oh")
        return original(self, record, rng, out)

    monkeypatch.setattr(EvalTransform, "load", load)
    root = write_set(tmp_path / "set")
    with pytest.raises(RuntimeError, match=r"train/3.jpg: ZeroDivisionError while loading: oh$"):
        cli(*TRAIN, "--batch-size", 4, "--data", root)
    assert threads() == []


GOOD = {
    "grey": encoded("JPEG", cv2.cvtColor(picture(64, 48), cv2.COLOR_RGB2GRAY)),
    "cmyk": encoded("JPEG", cmyk=True),
    "16-bit": cv2.imencode(".png", picture(64, 48).astype(np.uint16) * 257)[1].tobytes(),
    "rotated": rotated_jpeg(64, 48),
}


def test_unusual_pictures_train_and_are_scored(cli, tmp_path):
    root = write_set(tmp_path / "set", count=len(GOOD))
    for split in ("train", "val"):
        for number, content in enumerate(GOOD.values(), start=1):
            (root / split / f"{number}.jpg").write_bytes(content)
    result = cli(*TRAIN, "--batch-size", 4, "--data", root)
    assert (result.status, result.err) == (0, "")
    assert "4 images evaluated" in result.out


def test_pictures_of_one_pixel_train_and_are_scored(cli, tmp_path):
    root = write_set(tmp_path / "set", size=(1, 1))
    result = cli(*TRAIN, "--batch-size", 4, "--data", root)
    assert (result.status, result.err) == (0, "")
    assert "4 images evaluated" in result.out
