"""COCO to the other formats and back, and what is lost on the way."""

import json

import pytest
from label_files import rows_of
from small import files, write_set

from gluon_ssd.data.opening import open_dataset

BOXES = [[0, 0, 64, 48], [10.25, 20.5, 19.75, 24.25], [0.5, 0.3333, 63.4999, 11.1111], [3, 4, 1, 1]]


@pytest.fixture
def coco(tmp_path):
    """Four boxes, of images 1, 2, 3, 4, the last a crowd region with an outline; classes dog (7), cat (3)."""
    rows = [
        {"id": k, "image_id": k, "category_id": 7 if k % 2 else 3, "bbox": box}
        for k, box in enumerate(BOXES, start=1)
    ]
    rows[3].update(iscrowd=1, segmentation=[[3, 4, 4, 4, 4, 5]], area=0.5)
    rows[1].update(truncated=1)
    return write_set(
        tmp_path / "set",
        annotations=rows,
        categories=[{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
    )


def there_and_back(cli, fmt, *flags):
    out = cli("convert-data", "set", "there", "--to", fmt, *flags)
    assert (out.status, out.err) == (0, "")
    back = cli("convert-data", "there", "back", "--from", fmt)
    assert (back.status, back.err) == (0, "")
    return out.out


@pytest.mark.parametrize("fmt", ["yolo", "openimages"])
def test_fractions_bring_every_box_back(cli, coco, tmp_path, fmt):
    there_and_back(cli, fmt)
    expected = [
        ("1.jpg", "dog", [0, 0, 64, 48], 0),
        ("2.jpg", "cat", [10.25, 20.5, 19.75, 24.25], 0),
        ("3.jpg", "dog", [0.5, 0.3333, 63.4999, 11.1111], 0),
        ("4.jpg", "cat", [3, 4, 1, 1], 1),
    ]
    assert rows_of(tmp_path / "back", "train") == (expected if fmt == "openimages" else expected[:3])
    assert open_dataset(tmp_path / "back", "val").classes == ("cat", "dog")


def test_voc_brings_boxes_back_to_the_pixel(cli, coco, tmp_path):
    out = there_and_back(cli, "voc")
    # Train and val hold images of the same names, so VOC's one folder needs the split in front.
    assert rows_of(tmp_path / "back", "train") == [
        ("train_1.jpg", "dog", [0, 0, 64, 48], 0),
        ("train_2.jpg", "cat", [10, 21, 20, 24], 0),
        ("train_3.jpg", "dog", [1, 0, 63, 11], 0),
        ("train_4.jpg", "cat", [3, 4, 1, 1], 0),
    ]
    assert "\nimages renamed, since several have one name: 8\n" in out
    assert "\nboxes rounded to whole pixels: 4\n" in out
    assert "\ncrowd regions, marked difficult: 2\n" in out
    assert open_dataset(tmp_path / "back", "train").classes == ("cat", "dog")
    rows = json.loads((tmp_path / "back" / "annotations" / "instances_train.json").read_text())["annotations"]
    assert [row.get("truncated", 0) for row in rows] == [0, 1, 0, 0]
    assert [row.get("difficult", 0) for row in rows] == [0, 0, 0, 1]


def test_voc_numbers_in_the_file(cli, coco, tmp_path):
    assert cli("convert-data", "set", "there", "--to", "voc").status == 0
    text = (tmp_path / "there" / "Annotations" / "train_2.xml").read_text()
    assert "<xmin>11</xmin><ymin>22</ymin><xmax>30</xmax><ymax>45</ymax>" in text
    assert (tmp_path / "there" / "classes.txt").read_text() == "cat\ndog\n"
    assert (tmp_path / "there" / "ImageSets" / "Main" / "val.txt").read_text().split()[0] == "val_1"


def test_a_box_thinner_than_a_pixel_stays_one_pixel_in_voc(cli, tmp_path):
    rows = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [63.6, 10.1, 0.3, 0.2]}]
    write_set(tmp_path / "set", count=1, annotations=rows)
    there_and_back(cli, "voc")
    assert rows_of(tmp_path / "back", "train") == [("train_1.jpg", "cat", [63, 10, 1, 1], 0)]


def test_voc_brings_names_with_blanks_back(cli, tmp_path):
    root = write_set(tmp_path / "set", count=2)
    for split in ("train", "val"):
        (root / split / "1.jpg").rename(root / split / f"{split} one.jpg")
        path = root / "annotations" / f"{split}.json"
        path.write_text(path.read_text().replace('"1.jpg"', f'"{split} one.jpg"'))
    there_and_back(cli, "voc")
    names = {row[0] for row in rows_of(tmp_path / "back", "train")}
    assert names == {"train_train one.jpg", "train_2.jpg"}


def test_yolo_names_no_folder_images_below_images(cli, coco, tmp_path):
    (coco / "train" / "images").mkdir()
    (coco / "train" / "1.jpg").rename(coco / "train" / "images" / "1.jpg")
    path = coco / "annotations" / "train.json"
    path.write_text(path.read_text().replace('"1.jpg"', '"images/1.jpg"'))
    out = there_and_back(cli, "yolo")
    assert "\nimages in a sub-folder images, renamed images_, since labels are found by that name: 1\n" in out
    assert (tmp_path / "there" / "images" / "train" / "images_" / "1.jpg").is_file()
    assert (tmp_path / "there" / "labels" / "train" / "images_" / "1.txt").read_text() != ""


def test_yolo_numbers_in_the_files(cli, coco, tmp_path):
    out = cli("convert-data", "set", "there", "--to", "yolo").out
    root = tmp_path / "there"
    assert (
        root / "labels" / "train" / "2.txt"
    ).read_text() == "0 0.314453125 0.6796875 0.30859375 0.5052083333\n"
    assert (root / "labels" / "train" / "4.txt").read_text() == ""
    assert (root / "data.yaml").read_text() == (
        "train: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n"
    )
    assert "\ncrowd regions, left out: 2\n" in out
    assert "\nflags (difficult, truncated, occluded, ...) that this format has no place for: 2\n" in out
    assert (root / "images" / "train" / "1.jpg").is_symlink()


def test_openimages_numbers_in_the_file(cli, coco, tmp_path):
    assert cli("convert-data", "set", "there", "--to", "openimages", "--images", "copy").status == 0
    root = tmp_path / "there" / "validation"
    assert (root / "labels" / "detections.csv").read_text().splitlines()[4] == (
        "4,gluon_ssd,cat,1,0.046875,0.0625,0.0833333333,0.1041666667,0,0,1,0,0"
    )
    assert (root / "metadata" / "classes.csv").read_text() == "LabelName,DisplayName\ncat,cat\ndog,dog\n"
    assert not (root / "data" / "1.jpg").is_symlink()


def test_coco_to_coco_keeps_areas_and_flags_and_numbers_ids_from_1(cli, coco, tmp_path):
    out = cli("convert-data", "set", "there", "--images", "copy").out
    content = json.loads((tmp_path / "there" / "annotations" / "instances_train.json").read_text())
    assert [row["bbox"] for row in content["annotations"]] == BOXES
    assert [row["area"] for row in content["annotations"]] == [3072, 478.9375, 705.5537, 0.5]
    assert [row["id"] for row in content["categories"]] == [1, 2]
    assert content["annotations"][1]["truncated"] == 1
    assert "\noutlines (masks), of which only the box is kept: 2\n" in out


def test_images_left_in_place_can_be_converted_again(cli, coco, tmp_path):
    before = files(coco)
    assert cli("convert-data", "set", "there").status == 0
    assert cli("convert-data", "there", "back", "--to", "yolo", "--images", "copy").status == 0
    assert sorted(p.name for p in (tmp_path / "back" / "images" / "train").iterdir()) == [
        f"{k}.jpg" for k in range(1, 5)
    ]
    assert files(coco) == before


def test_coco128_through_yolo_and_back(cli, coco128, tmp_path):
    assert cli("convert-data", coco128, "there", "--to", "yolo").status == 0
    assert cli("convert-data", "there", "back").status == 0
    old, new = open_dataset(coco128, "train"), open_dataset(tmp_path / "back", "train")
    assert len(new) == len(old) == 128
    assert new.classes == old.classes
    pairs = zip(sorted(old.records, key=lambda r: r.path.name), new.records)
    for a, b in pairs:
        assert a.path.name == b.path.name
        assert abs(a.boxes[~a.crowd] - b.boxes).max(initial=0) < 1e-4
        assert (a.classes[~a.crowd] == b.classes).all()
