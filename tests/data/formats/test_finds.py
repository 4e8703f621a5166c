"""What damaged label files have led to, each made as small as it still did so: one line instead."""

import json

import pytest
from PIL import Image

from gluon_ssd.data.formats.conversion import read_dataset
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
