"""Names of images on their way into another format."""

import os
import sys
from pathlib import Path

import pytest
from label_files import labelme, voc_xml
from PIL import Image

from gluon_ssd.data.formats.conversion import convert_data, read_dataset
from gluon_ssd.data.opening import open_dataset
from gluon_ssd.errors import UserError


def yolo(root, *names):
    """Images of one grey each, lighter from name to name, with an object each; names are bytes."""
    for number, name in enumerate(names):
        for path in (b"images/" + name + b".png", b"labels/" + name + b".txt"):
            path = os.path.join(os.fsencode(root), path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if path.endswith(b".txt"):
                Path(os.fsdecode(path)).write_text("0 0.5 0.5 0.5 0.5\n")
            else:
                Image.new("L", (8, 8), 20 * number).save(os.fsdecode(path))
    (root / "classes.txt").write_text("cat\n")
    return root


@pytest.mark.parametrize("target", ["coco", "yolo", "voc", "openimages"])
@pytest.mark.parametrize("images", ["link", "copy"])
def test_images_of_one_name_stay_apart(tmp_path, target, images):
    """data.yaml may name two folders whose last names are the same."""
    yolo(tmp_path / "set/a/train", b"1", b"2")
    yolo(tmp_path / "set/b/train", b"3", b"2", b"1")
    (tmp_path / "set/data.yaml").write_text("train: [a/train/images, b/train/images]\nnames: [cat]\n")
    data = convert_data(tmp_path / "set", tmp_path / "new", None, target, images)
    assert data.notes["images renamed, since several have one name"]
    records = open_dataset(tmp_path / "new").records
    assert sorted(int(record.pixels()[0, 0, 0]) for record in records) == [0, 0, 20, 20, 40]


def test_an_image_that_two_tables_list_is_named(tmp_path):
    (tmp_path / "set").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "set/a.png")
    for name in ("train_cats.csv", "train_dogs.csv"):
        text = f"filename,class,xmin,ymin,xmax,ymax\na.png,{name[6:9]},1,1,5,5\n"
        (tmp_path / "set" / name).write_text(text)
    with pytest.raises(UserError, match=r"set/a\.png: the labels have this image twice"):
        read_dataset(tmp_path / "set")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not UTF-8")
class TestNamesThatAreNotUtf8:
    """As the archives of old programs have them; Python reads such bytes as halves of characters."""

    @pytest.fixture
    def data(self, tmp_path):
        return yolo(tmp_path / "set", b"caf\xe9", b"b", b"c")

    @pytest.mark.parametrize("target", ["coco", "yolo"])
    def test_are_kept(self, data, tmp_path, target):
        convert_data(data, tmp_path / "new", target_format=target, val_share=0.3)
        records = [r for split in ("train", "val") for r in open_dataset(tmp_path / "new", split).records]
        assert sorted(os.fsencode(r.path.name) for r in records) == [b"b.png", b"c.png", b"caf\xe9.png"]
        assert all(record.pixels().shape == (8, 8, 3) for record in records)

    @pytest.mark.parametrize("target", ["voc", "openimages"])
    def test_are_refused_by_what_has_to_be_text(self, data, tmp_path, target):
        with pytest.raises(UserError, match="cannot hold such a name; rename the image"):
            convert_data(data, tmp_path / "new", target_format=target)
        assert not (tmp_path / "new").exists()


def test_a_class_that_is_no_text(tmp_path):
    (tmp_path / "set").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "set/a.jpg")
    shape = {"label": "\ud800", "points": [[1, 1], [5, 5]], "shape_type": "rectangle"}
    (tmp_path / "set/a.json").write_text(labelme(shape))
    with pytest.raises(UserError, match=r"the class '\\ud800' is no text"):
        read_dataset(tmp_path / "set")


@pytest.mark.parametrize("form", ["labelme", "voc"])
def test_folders_are_not_listed_again_for_each_label_file(tmp_path, monkeypatch, form):
    calls = []
    # By one of these, depending on the version of Python.
    for name in ("scandir", "walk", "listdir"):
        original = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, original=original, **k: calls.append(a) or original(*a, **k)
        )
    counts = []
    for most in (3, 9):
        folder = tmp_path / str(most)
        folder.mkdir()
        for number in range(most):
            # Spelt otherwise by VOC's files, so that the folder has to be searched.
            Image.new("L", (8, 8)).save(folder / f"{'A' if form == 'voc' else 'a'}{number}.png")
            name, shape = f"a{number}.png", {"label": "cat", "points": [[1, 1], [5, 5]]}
            if form == "labelme":
                (folder / f"a{number}.json").write_text(labelme(shape, path=name))
            else:
                (folder / f"a{number}.xml").write_text(voc_xml(("cat", (1, 1, 5, 5)), name=name))
        calls.clear()
        assert len(read_dataset(folder, form).splits["train"]) == most
        counts.append(len(calls))
    assert counts[0] == counts[1]
