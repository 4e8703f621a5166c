"""Small data sets as labelling tools export them (tests/vectors/cases), and what each has to become."""

import shutil

import pytest
from label_files import rows_of
from places import VECTORS
from small import refused

from gluon_ssd.data.opening import open_dataset
from gluon_ssd.errors import UserError

CASES = VECTORS / "cases"
BOX = [200, 20, 100, 60]
BOTH = {"train": [("train.jpg", "cat", BOX, 0)], "val": [("val.jpg", "cat", BOX, 0)]}
# Name: what comes out by split, and what has to be said.
RIGHT = {
    "yolo_exif": (
        {"train": [("p.jpg", "cat", [120, 200, 60, 100], 0)]},
        "images that EXIF turns, whose boxes are taken for the upright picture: 1",
    ),
    "cvat_voc_subsets": (
        {"train": [("Train1.jpg", "cat", BOX, 0)], "val": [("Validation1.jpg", "cat", BOX, 0)]},
        "",
    ),
    "cvat_rotated": (
        {split: [(f"{split}.jpg", "cat", [150, 60, 20, 200], 0)] for split in ("train", "val")},
        "rotated boxes, of which the enclosing upright box is kept: 2",
    ),
    "ls_coco": ({"train": [("ab12-a.jpg", "cat", BOX, 0)]}, "classes: 2 (cat, dog)"),
    "ls_coco_win116": (
        {"train": [("ab12-a.jpg", "cat", BOX, 0)]},
        "images found under another spelling of the name that the labels give: 1",
    ),
    "cvat_yolo11": ({"train": [("frame_000000.PNG", "cat", BOX, 0)]}, ""),
    "cvat_ultralytics": ({"train": [("a.jpg", "cat", BOX, 0)]}, ""),
    "yolo_lists": (
        {
            "train": [("a.jpg", "cat", BOX, 0), ("b.jpg", "cat", BOX, 0)],
            "val": [("b.jpg", "cat", BOX, 0)],
        },
        "",
    ),
    "cvat_coco_subsets": (
        {"train": [("Train1.jpg", "cat", BOX, 0)], "val": [("Validation1.jpg", "cat", BOX, 0)]},
        "",
    ),
    "roboflow_coco": (
        {
            split: [(f"{name}_jpg.rf.0a1b.jpg", "cat", BOX, 0)]
            for split, name in (("train", "train"), ("val", "valid"), ("test", "test"))
        },
        "category 'pets' has no box and only stands for others; it is no class",
    ),
    "roboflow_same_name": (
        {"train": [("train1.jpg", "cat", BOX, 0)], "val": [("val1.jpg", "cat", BOX, 0)]},
        "categories of the same name as another, taken as one: 2",
    ),
    "roboflow_yolo_no_test": (
        {"train": [("train.jpg", "cat", BOX, 0)], "val": [("valid.jpg", "cat", BOX, 0)]},
        "'test' names ../test/images, and there is no folder or list ",
    ),
    "voc_no_size": (
        {"train": [("a.jpg", "cat", BOX, 0)]},
        "images whose annotation gives no size; the file's is taken: 1",
    ),
    "cat_swapped": (
        {"train": [("train.jpg", "cat", BOX, 0)], "val": [("val.jpg", "dog", BOX, 0)]},
        "classes: 2 (cat, dog)",
    ),
    "coco_ignore": (
        {
            s: [(f"{s}.jpg", "cat", BOX, 0), (f"{s}.jpg", "cat", [10, 100, 60, 60], 1)]
            for s in ("train", "val")
        },
        "objects marked ignore, taken as crowd regions: training and evaluation ignore them: 2",
    ),
    "coco_backslash": (BOTH, "images found under another spelling of the name that the labels give: 2"),
    "coco_urlenc": (
        {split: [(f"my {split}.jpg", "cat", BOX, 0)] for split in ("train", "val")},
        "images found under another spelling of the name that the labels give: 2",
    ),
    "coco_nfd": (
        {split: [(f"cafe\u0301{split}.jpg", "cat", BOX, 0)] for split in ("train", "val")},
        "images found under another spelling of the name that the labels give: 2",
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_case_is_converted_right(cli, tmp_path, case):
    expected, said = RIGHT[case]
    result = cli("convert-data", CASES / case, "out")
    assert (result.status, result.err) == (0, ""), result
    written = {path.stem[len("instances_") :] for path in (tmp_path / "out" / "annotations").iterdir()}
    assert written == set(expected)
    for split, rows in expected.items():
        assert rows_of(tmp_path / "out", split) == rows
    assert said in result.out


@pytest.mark.parametrize("case", RIGHT)
def test_training_opens_a_case_as_it_is_and_sees_the_same(case):
    for split, rows in RIGHT[case][0].items():
        data = open_dataset(CASES / case, split)
        found = [
            (record.path.name, data.classes[label], [box[0], box[1], box[2] - box[0], box[3] - box[1]], crowd)
            for record in data.records
            for box, label, crowd in zip(record.boxes.tolist(), record.classes, record.crowd)
        ]
        assert sorted(found) == sorted(rows), split
        assert all(record.pixels().shape == (record.height, record.width, 3) for record in data.records)


@pytest.mark.parametrize("case", sorted(RIGHT))
def test_check_takes_a_case_as_training_does(cli, monkeypatch, case):
    monkeypatch.setattr("gluon_ssd.report.data_check._write_pictures", lambda *arguments: [])
    result = cli("check", CASES / case, "--model", "ssd_tiny", "--output", "report")
    assert (result.status, result.err) == (0, ""), result
    assert f"train: {len({row[0] for row in RIGHT[case][0]['train']})} of " in result.out
    assert "unknown categories" not in result.out


def test_fractions_in_a_coco_file_are_refused_everywhere(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("gluon_ssd.report.data_check._write_pictures", lambda *arguments: [])
    refused(cli("convert-data", CASES / "coco_unit", "out"), "boxes look like fractions", "--boxes xywhn")
    assert cli("convert-data", CASES / "coco_unit", "out", "--boxes", "xywhn").status == 0
    assert rows_of(tmp_path / "out", "train") == [("train.jpg", "cat", BOX, 0)]
    with pytest.raises(UserError, match="boxes look like fractions"):
        open_dataset(CASES / "coco_unit", "train")
    result = cli("check", CASES / "coco_unit", "--model", "ssd_tiny", "--output", "report")
    assert result.status == 1
    assert "error: train: 1 boxes look like fractions" in result.out


def test_counts_are_of_what_was_kept(cli, tmp_path):
    result = cli("convert-data", CASES / "coco_counts", "out", "--missing", "skip")
    assert result.status == 0
    assert "images that are named but missing, left out: 1" in result.out
    for what in ("outlines", "clipped", "without area"):
        assert what not in result.out
    assert rows_of(tmp_path / "out", "train") == [("a.jpg", "cat", BOX, 0)]


def test_what_is_read_otherwise_is_said_when_training_begins(cli, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(CASES / "coco_ignore", root)
    flags = ("--recipe", "ssd_tiny/smoke", "--batch-size", 1, "--max-steps", 1, "--output", "run")
    result = cli("train", *flags, "--data", root)
    assert (result.status, result.err) == (0, ""), result
    assert "1 objects marked ignore, taken as crowd regions" in result.out


@pytest.mark.parametrize("case", ["cvat_yolo11", "yolo_exif"])
def test_other_formats_train_without_a_conversion(cli, case):
    flags = ("--recipe", "ssd_tiny/smoke", "--batch-size", 1, "--max-steps", 1, "--eval-every", 0)
    result = cli("train", *flags, "--output", "run", "--data", CASES / case)
    assert (result.status, result.err) == (0, ""), result
    result = cli("val", "run", "--split", "train")
    assert result.status == 0 and "1 images evaluated" in result.out
