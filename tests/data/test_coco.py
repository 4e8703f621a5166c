"""Reading COCO data sets, good and bad."""

from __future__ import annotations

import json
import math
import os
import re

import numpy as np
import pytest

from gluon_ssd.data import coco, open_dataset
from gluon_ssd.errors import UserError


def fails(folder, *parts, **options):
    """Opening fails with one line that has all the parts."""
    with pytest.raises(UserError) as caught:
        open_dataset(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def test_records(coco_folder):
    data = open_dataset(coco_folder())
    assert data.classes == ("cat", "dog")
    assert data.category_ids == (1, 3)
    assert len(data) == 3
    first, second, third = data.records
    assert (first.image_id, first.path.name, first.width, first.height) == (1, "1.jpg", 64, 48)
    assert first.boxes.tolist() == [[10, 20, 25, 25]] and first.boxes.dtype == np.float32
    assert first.classes.tolist() == [0] and first.classes.dtype == np.int32
    assert second.classes.tolist() == [1] and second.boxes.tolist() == [[0, 0, 64, 48]]
    assert third.boxes.shape == (0, 4) and third.classes.shape == (0,) and third.crowd.shape == (0,)
    assert data.dropped == {} and data.clipped == 0


def test_boxes_of_an_image_keep_the_files_order_when_images_alternate(coco_folder):
    rows = [(2, 1, k, k, 5, 5) if k % 2 else (1, 3, k, k, 5, 5) for k in range(6)]
    data = open_dataset(coco_folder(boxes=rows))
    assert data.records[0].boxes[:, 0].tolist() == [0, 2, 4]
    assert data.records[1].boxes[:, 0].tolist() == [1, 3, 5]


def test_degenerate_and_outside_boxes_are_dropped_and_counted(coco_folder):
    rows = [
        (1, 1, 5, 5, 0, 10),
        (1, 1, 5, 5, 10, -3),
        (1, 1, 64, 5, 10, 10),
        (1, 1, -20, 5, 20, 10),
        (1, 3, -10, -10, 30, 30),
        (1, 3, 50, 40, 14.5, 8.5),
    ]
    data = open_dataset(coco_folder(boxes=rows))
    assert data.dropped == {"no width or height": 2, "outside the image": 2}
    assert data.clipped == 1
    assert data.records[0].boxes.tolist() == [[0, 0, 20, 20], [50, 40, 64, 48]]


def test_crowd_is_kept_and_marked(coco_folder):
    rows = [
        {"id": 7, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        {"id": 8, "image_id": 1, "category_id": 3, "bbox": [1, 1, 5, 5], "iscrowd": 0},
    ]
    record = open_dataset(coco_folder(annotations=rows)).records[0]
    assert record.crowd.tolist() == [True, False]
    boxes, labels = record.objects()
    assert boxes.tolist() == [[1, 1, 6, 6]] and labels.tolist() == [1]


@pytest.mark.parametrize(("flag", "crowd"), [("0", False), ("1", True), ("false", False), (1, True)])
def test_a_crowd_flag_may_be_text(coco_folder, flag, crowd):
    folder = coco_folder(boxes=[(1, 1, 5, 5, 9, 9)])
    path = folder / "annotations/train.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["iscrowd"] = flag
    path.write_text(json.dumps(content))
    assert open_dataset(folder).records[0].crowd.tolist() == [crowd]


def test_the_boxes_are_counted_once_and_not_for_each_class(coco_folder, monkeypatch):
    calls = []
    original = coco.unused_parents
    monkeypatch.setattr(coco, "unused_parents", lambda file: calls.append(1) or original(file))
    assert open_dataset(coco_folder()).classes == ("cat", "dog")
    assert len(calls) == 1


def test_classes_are_restricted_and_ordered(coco_folder):
    data = open_dataset(coco_folder(), classes=["dog"])
    assert data.classes == ("dog",) and data.category_ids == (3,)
    assert [len(record.boxes) for record in data.records] == [0, 1, 0]
    assert data.dropped == {"class not chosen": 1}
    truth = data.coco_gt()
    assert truth.getCatIds() == [3] and len(truth.anns) == 1 and len(truth.imgs) == 3
    swapped = open_dataset(coco_folder(), classes=["dog", "cat"])
    assert swapped.records[0].classes.tolist() == [1]
    fails(coco_folder(), "'dogs'", "dog", classes=["dogs"])
    fails(coco_folder(), "more than once", classes=["dog", "dog"])
    fails(coco_folder(), "'classes' is empty", classes=[])


def test_truth_for_pycocotools_has_everything_and_says_nothing(coco_folder, capsys):
    rows = [
        {"id": 0, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 6], "iscrowd": 1, "area": 12.5},
        {"id": 1, "image_id": 2, "category_id": 3, "bbox": [1, 1, 5, 0]},
        {"id": 2, "image_id": 2, "category_id": 3, "bbox": [60, 1, 50, 4]},
    ]
    truth = open_dataset(coco_folder(annotations=rows)).coco_gt()
    # Id 0 would read as "not matched" in pycocotools.
    assert sorted(truth.anns) == [1, 2, 3]
    assert truth.anns[1]["iscrowd"] == 1 and truth.anns[1]["area"] == 12.5
    assert truth.anns[3] == {
        "id": 3, "image_id": 2, "category_id": 3, "bbox": [60, 1, 50, 4], "area": 200, "iscrowd": 0,
    }  # fmt: skip
    assert capsys.readouterr().out == ""


def test_truth_scores_perfect_detections_with_one(coco_folder, capsys):
    from pycocotools.cocoeval import COCOeval

    truth = open_dataset(coco_folder()).coco_gt()
    found = [{**truth.anns[k], "score": 0.9} for k in truth.anns]
    score = COCOeval(truth, truth.loadRes(found), "bbox")
    score.evaluate()
    score.accumulate()
    score.summarize()
    assert score.stats[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "annotation, images",
    [
        ("instances_val2017.json", "val2017"),
        ("bbox_only_instances_val2017.json", "val2017"),
        ("instances_val.json", "val"),
        ("val.json", "images/val"),
    ],
)
def test_known_layouts(coco_folder, annotation, images):
    root = coco_folder()
    (root / "annotations/train.json").rename(root / "annotations" / annotation)
    (root / "images").mkdir()
    (root / "train").rename(root / images)
    data = open_dataset(root, "val")
    assert data.annotation == root / "annotations" / annotation and data.images_dir == root / images


def test_files_named_by_the_caller(coco_folder, tmp_path):
    root = coco_folder()
    moved = (root / "annotations/train.json").rename(tmp_path / "mine.json")
    (root / "train").rename(root / "pictures")
    assert len(open_dataset(root, annotation=moved, images="pictures")) == 3
    fails(root, "nowhere", annotation="nowhere.json", images="pictures")
    fails(root, "nowhere", annotation=moved, images="nowhere")


def test_images_in_subfolders(coco_folder):
    root = coco_folder(count=1, boxes=())
    content = json.loads((root / "annotations/train.json").read_text())
    content["images"][0]["file_name"] = "a/b/1.jpg"
    (root / "annotations/train.json").write_text(json.dumps(content))
    found = "1 images found under another spelling of the name that the labels give"
    assert open_dataset(root).lines == [f"{root}/annotations/train.json: {found}"]
    (root / "train/a/b").mkdir(parents=True)
    (root / "train/1.jpg").rename(root / "train/a/b/1.jpg")
    data = open_dataset(root)
    assert data.records[0].path.is_file() and data.lines == []


def test_nothing_there(tmp_path, coco_folder):
    fails(tmp_path / "none", str(tmp_path / "none"), "does not exist")
    fails(tmp_path, "no labels found", "it holds nothing")
    fails(coco_folder(), "has no split 'test', only train", split="test")
    root = coco_folder()
    (root / "train").rename(root / "elsewhere")
    assert open_dataset(root).records[0].path.parent.name == "elsewhere"


def test_missing_images_are_counted_and_named(coco_folder):
    root = coco_folder(count=6)
    for name in (2, 3, 4, 6):
        (root / "train" / f"{name}.jpg").unlink()
    fails(root, "4 of 6 images", "train.json", f"{root}/train/3.jpg, {root}/train/4.jpg, ...")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("gone.jpg", path)])
def test_what_is_no_file_is_a_missing_image(coco_folder, make):
    root = coco_folder(count=3)
    (root / "train/2.jpg").unlink()
    make(root / "train/2.jpg")
    fails(root, "1 of 3 images", f"({root}/train/2.jpg)")


@pytest.mark.parametrize("text", ["{", "", "[1, 2", "\x00\x01", "<html>"])
def test_not_json(coco_folder, text):
    root = coco_folder()
    (root / "annotations/train.json").write_text(text)
    fails(root, "train.json", "not JSON")


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 200000 + "]" * 200000])
def test_what_python_cannot_parse_is_one_line_too(coco_folder, value):
    root = coco_folder()
    path = root / "annotations/train.json"
    path.write_text(path.read_text().replace('"width": 64', '"width": ' + value, 1))
    fails(root, "train.json")


def test_binary_file_as_annotation(coco_folder):
    root = coco_folder()
    (root / "annotations/train.json").write_bytes(b"\xff\xd8\xff\xe0" * 9)
    fails(root, "train.json", "not JSON")


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_missing_section(coco_folder, key):
    root = coco_folder()
    path = root / "annotations/train.json"
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    fails(root, "train.json", f"lacks the key '{key}'")
    path.write_text(json.dumps([content]))
    fails(root, "train.json", "lacks the key 'images'")


@pytest.mark.parametrize(
    "section, key",
    [("images", key) for key in ("id", "file_name")]
    + [("annotations", key) for key in ("id", "image_id", "category_id", "bbox")]
    + [("categories", key) for key in ("id", "name")],
)
def test_missing_key_of_an_item(coco_folder, section, key):
    root = coco_folder()
    path = root / "annotations/train.json"
    content = json.loads(path.read_text())
    del content[section][1][key]
    path.write_text(json.dumps(content))
    fails(root, "train.json", f"{section}[1]", f"'{key}'")


IMAGE = {"id": 1, "file_name": "1.jpg", "width": 64, "height": 48}
OBJECT = {"id": 41, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    "changes, parts",
    [
        ({"images": []}, ["'images' is empty"]),
        ({"categories": []}, ["'categories' is empty"]),
        ({"images": {}}, ["'images' must be a list"]),
        ({"annotations": [1]}, ["annotations[0]", "int"]),
        ({"images": [IMAGE, IMAGE]}, ["'images'", "first 1", "unique"]),
        ({"annotations": [OBJECT, OBJECT]}, ["'annotations'", "first 41", "unique"]),
        ({"annotations": [{**OBJECT, "category_id": 2}]}, ["annotation 41", "category_id 2", "categories"]),
        ({"annotations": [{**OBJECT, "image_id": 9}]}, ["annotation 41", "image_id 9", "images"]),
        ({"annotations": [{**OBJECT, "image_id": "1"}]}, ["annotations[0]", "image_id '1'", "integer"]),
        ({"annotations": [{**OBJECT, "bbox": [1, 2, math.nan, 4]}]}, ["annotation 41", "NaN"]),
        ({"annotations": [{**OBJECT, "bbox": [1, 2, math.inf, 4]}]}, ["annotation 41", "infinity"]),
        ({"annotations": [{**OBJECT, "bbox": [1, 2, "3", 4]}]}, ["annotation 41", "numbers"]),
        ({"annotations": [{**OBJECT, "bbox": [1, 2, None, 4]}]}, ["annotation 41", "numbers"]),
        ({"annotations": [{**OBJECT, "bbox": [[1], 2, 3, 4]}]}, ["annotation 41", "numbers"]),
        ({"annotations": [{**OBJECT, "bbox": [[1], [2], [3], [4]]}]}, ["annotation 41", "numbers"]),
        ({"annotations": [{**OBJECT, "bbox": [1, 2, 1e200, 1e200]}]}, ["annotation 41", "1e+200"]),
        ({"annotations": [{**OBJECT, "bbox": [1, 2, 3]}]}, ["annotation 41", "[x, y, width, height]"]),
        ({"annotations": [{**OBJECT, "bbox": None}]}, ["annotation 41", "[x, y, width, height]"]),
        ({"annotations": [{**OBJECT, "area": "big"}]}, ["annotation 41", "area"]),
        ({"images": [{**IMAGE, "width": -1}]}, ["images[0]", "width -1"]),
        ({"images": [{**IMAGE, "file_name": 5}], "annotations": []}, ["images[0]", "file_name 5"]),
        ({"categories": [{"id": 1, "name": "cat"}] * 2}, ["'categories'", "unique"]),
        ({"categories": [{"id": 1, "name": "c\ud800t"}]}, ["categories[0]", "'c\\ud800t'"]),
    ],
)
def test_broken_content(coco_folder, changes, parts):
    fails(coco_folder(**changes), "train.json", *parts)


def test_coco128(coco128):
    train, val = open_dataset(coco128, "train"), open_dataset(coco128, "val")
    assert (len(train), len(val), len(train.classes)) == (128, 128, 80)
    assert train.classes[:2] == ("person", "bicycle") and train.category_ids[-1] == 90
    assert sum(len(record.boxes) for record in train.records) == 939
    assert len(train.coco_gt().anns) == 939 and len(val.coco_gt().anns) == 898
    assert not train.dropped and re.match(r"0+9\.jpg", train.records[0].path.name)
