"""What damaged label files have led to, each made as small as it still did so: one line instead."""

import json

import pytest
from label_files import CSV
from PIL import Image

from gluon_ssd.data.formats.conversion import convert_data, read_dataset
from gluon_ssd.data.opening import open_dataset
from gluon_ssd.errors import UserError

HUGE, LONG = "9" * 400, "a" * 300
SHAPE = '{"imagePath": "a.png", "shapes": [{"label": "c", "points": [[1, %s], [2, 3]]}]}'


@pytest.mark.parametrize(
    ("name", "file", "text", "words"),
    [
        ("labelme", "a.json", SHAPE % HUGE, "'points' must be a list of"),
        ("darknet", "obj.data", f"names = obj.names\ntrain = {LONG}\n", "names no list of images"),
        ("yolo", "data.yaml", f"names: [c]\ntrain: {LONG}\n", f"'train' names {LONG}"),
    ],
)
def test_a_label_file(tmp_path, name, file, text, words):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "obj.names").write_text("c\n")
    (tmp_path / file).write_text(text)
    with pytest.raises(UserError, match=words):
        read_dataset(tmp_path, name)


@pytest.mark.parametrize("size", [{}, {"width": 8, "height": 8}])
def test_a_coco_image_whose_name_is_longer_than_that_of_a_file_can_be(tmp_path, size):
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}
    image = {"id": 1, "file_name": f"{LONG}.png", **size}
    content = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "c"}]}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    (tmp_path / "train2017").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "train2017" / "a.png")
    with pytest.raises(UserError, match=LONG):
        read_dataset(tmp_path, "coco")
    with pytest.raises(UserError, match=LONG):
        open_dataset(tmp_path)


def outside(folder):
    """A data set's folder, and an image that lies beside it."""
    Image.new("RGB", (8, 8)).save(folder / "other.png")
    (folder / "set").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "set" / "a.png")
    return folder / "set"


def test_an_image_that_a_list_names_outside_of_the_set_keeps_its_own_name_alone(tmp_path):
    """New data sets are written by these names, and "../other.png" would be written beside them."""
    root = outside(tmp_path)
    (root / "data.yaml").write_text("names: [c]\ntrain: list.txt\n")
    (root / "list.txt").write_text("../other.png\n")
    (tmp_path / "other.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    assert [picture.name for picture in read_dataset(root, "yolo").pictures()] == ["other.png"]


@pytest.mark.parametrize("name", ["../other.png", "{folder}/other.png"])
def test_an_image_of_openimages_outside_of_its_folder_is_missing(tmp_path, name):
    root = outside(tmp_path)
    (root / "train").mkdir()
    (root / "a.png").rename(root / "train" / "a.png")
    (root / "class-descriptions-boxable.csv").write_text("/m/01,cat\n")
    row = f"{name.replace('{folder}', str(tmp_path))},x,/m/01,1,0.1,0.5,0.1,0.5,0,0,0,0,0\n"
    (root / "train-annotations-bbox.csv").write_text(CSV + row)
    with pytest.raises(UserError, match="its image .*other.png is not in"):
        read_dataset(root, "openimages")


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "\ufeffcat", " ", "cat "])
def test_a_class_that_the_files_of_voc_cannot_hold(tmp_path, name):
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}
    image = {"id": 1, "file_name": "a.png", "width": 8, "height": 8}
    content = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": name}]}
    (outside(tmp_path) / "train.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="cannot hold such a name"):
        convert_data(tmp_path / "set", tmp_path / "new", None, "voc")
    assert not (tmp_path / "new").exists()
