"""Labels that are not as they should be: one line that names file, line and field, and nothing written."""

import json
import shutil

import pytest
from label_files import CSV, rows_of, voc_xml
from small import files, refused, write_set

BOMB = '<!DOCTYPE a [<!ENTITY b "{}"><!ENTITY c "{}">]><annotation>&c;</annotation>'.format(
    "x" * 99, "&b;" * 99
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (voc_xml(size=("wide", 3)), ["a.xml: size/width is 'wide'"]),
        (voc_xml(("cat", (1, 1, "nan", 2))), ["a.xml: object[0] (cat): bndbox/xmax is 'nan'"]),
        (voc_xml(("", (1, 1, 2, 2))), ["a.xml: object[0] lacks a name"]),
        (voc_xml(extra="<object><name>cat</name></object>"), ["a.xml: object[0] (cat) lacks bndbox/xmin"]),
        (voc_xml() + "<", ["a.xml: not XML (line 1"]),
        ("", ["a.xml: not XML (line 1, column 0: no element found)"]),
        ("<html/>", ["a.xml: begins with <html>"]),
        ("<annotations><image/></annotations>", ["a.xml: looks like CVAT's own XML", "export", "COCO 1.0"]),
        ('<?xml version="1.0" encoding="GB2312"?><annotation/>', ["its encoding cannot be read (multi"]),
        ('<?xml version="1.0" encoding="mine"?><annotation/>', ["its encoding cannot be read (unknown"]),
        (BOMB, ["a.xml: has a document type (<!DOCTYPE ...>)"]),
        (BOMB.encode("utf-16"), ["a.xml: has a document type (<!DOCTYPE ...>)"]),
    ],
)
def test_an_unsound_voc_file(cli, voc, tmp_path, text, parts):
    path = voc / "Annotations" / "a.xml"
    path.write_bytes(text) if isinstance(text, bytes) else path.write_text(text)
    before = files(tmp_path)
    refused(cli("convert-data", "voc", "out"), *parts)
    assert files(tmp_path) == before


def test_unsound_voc_folders(cli, voc, tmp_path, image):
    (voc / "classes.txt").write_text("cat\ndgo\n")
    refused(
        cli("convert-data", "voc", "out"), "a.xml: object[1] (dog): unknown class 'dog'; did you mean dgo"
    )
    (voc / "classes.txt").write_text("\n")
    refused(cli("convert-data", "voc", "out"), "classes.txt: the class list is empty")
    (voc / "classes.txt").write_text("cat\ncat\n")
    refused(cli("convert-data", "voc", "out"), "classes.txt: the class 'cat' is listed twice")
    (voc / "classes.txt").unlink()
    (voc / "ImageSets" / "Main" / "val.txt").write_text("b\nc\n")
    refused(cli("convert-data", "voc", "out"), "val.txt line 2: voc/Annotations/c.xml does not exist")
    (voc / "ImageSets" / "Main" / "val.txt").write_text("b\nx/c 1\n")
    refused(cli("convert-data", "voc", "out"), "val.txt line 2: voc/Annotations/x/c.xml does not exist")


def test_a_voc_image_that_is_missing(cli, voc):
    (voc / "JPEGImages" / "a.jpg").unlink()
    refused(cli("convert-data", "voc", "out"), "a.xml: its image a.jpg is not in ", "--missing skip")
    refused(cli("convert-data", "voc", "out", "--missing", "skip"), "no image for the split 'train'")
    (voc / "ImageSets" / "Main" / "train.txt").write_text("a\nb\n")
    assert (
        "\nimages that are named but missing, left out: 1\n"
        in cli("convert-data", "voc", "out", "--missing", "skip").out
    )


def test_images_of_one_name_in_sub_folders(cli, voc, image):
    (voc / "JPEGImages" / "a.jpg").unlink()
    for folder in ("x", "y"):
        image(voc / "JPEGImages" / folder / "a.jpg")
    pair = "voc/JPEGImages/x/a.jpg and voc/JPEGImages/y/a.jpg"
    refused(cli("convert-data", "voc", "out"), f"error: {pair} are both called 'a.jpg'")


def test_an_image_that_is_none(cli, voc):
    (voc / "JPEGImages" / "a.jpg").write_text("<html>")
    refused(cli("convert-data", "voc", "out"), "a.jpg: not an image whose size can be read")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("1 0.5 0.5 0.1", "a.txt line 2: has 4 numbers; it needs 5"),
        ("1 0.5 0.5 0.1 0.1 0.9", "a.txt line 2: has 6 numbers; it needs 5"),
        ("3 0.5 0.5 0.1 0.1", "a.txt line 2: class index 3 is not one of the 3 of the 'names' of "),
        ("-1 0.5 0.5 0.1 0.1", "a.txt line 2: class index -1 is not one of the 3"),
        ("1.5 0.5 0.5 0.1 0.1", "a.txt line 2: class index 1.5 is not one of the 3"),
        ("cat 0.5 0.5 0.1 0.1", "a.txt line 2: 'cat 0.5 0.5 0.1 0.1' is not all numbers"),
        ("1 40 30 20 20", "a.txt line 2: 40 is no fraction of the image"),
        ("1 0.5 0.5 nan 0.1", "a.txt line 2: nan is no fraction of the image"),
    ],
)
def test_an_unsound_yolo_line(cli, yolo, tmp_path, line, part):
    (yolo / "labels" / "train" / "a.txt").write_text(f"1 0.5 0.5 1 1\n{line}\n")
    before = files(tmp_path)
    refused(cli("convert-data", "yolo", "out"), part)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("names: []\ntrain: images/train\n", "'names': the class list is empty"),
        ("names: [a, 1]\ntrain: images/train\n", "'names': class 1 is 1; it must be a name"),
        ("names: {0: a, 2: b}\ntrain: images/train\n", "the keys of 'names' must be 0 to 1"),
        ("names: [a, b]\nnc: 3\ntrain: images/train\n", "'nc' is 3 but 'names' has 2"),
        ("names: [a, b, c]\n", "lacks 'train'"),
        ("names: [a, b, c]\ntrain: gone\n", "'train' names gone, and there is no folder or list yolo/gone"),
        ("names: [a, b, c]\ntrain: [x, y]\n", "'train' names x, and there is no folder or list yolo/x; "),
        ("names: [a, b, c]\ntrain: [1]\n", "'train' is [1]; it must be a folder of images, a list file"),
        ("names: [a", "not YAML (line 1"),
        ("!!python/object/apply:os.system [id]", "not YAML (line 1"),
        ("names: &a [*a]\ntrain: images/train\n", "aliases (*name) stand for more values than can be"),
    ],
)
def test_an_unsound_data_yaml(cli, yolo, text, part):
    (yolo / "data.yaml").write_text(text)
    refused(cli("convert-data", "yolo", "out", "--from", "yolo"), "data.yaml", part)


def test_labels_in_a_place_of_their_own_are_not_taken_for_images_without_objects(cli, yolo):
    (yolo / "labels").rename(yolo / "txt")
    refused(cli("convert-data", "yolo", "out"), "images/train: none of its 2 images has a label file in ")


def test_a_target_that_cannot_be_made_is_named_as_the_user_named_it(cli, voc, tmp_path):
    (tmp_path / "file").write_text("")
    refused(cli("convert-data", "voc", "file/new"), "error: file/new: Not a directory; nothing was written")


def test_the_current_folder_is_no_target(cli, voc, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    refused(cli("convert-data", "../voc", "."), "error: .: is the current folder", "name a new one in it")


def test_an_image_that_cannot_be_copied(cli, voc, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device", str(source), None, str(target))

    monkeypatch.setattr("shutil.copyfile", full)
    refused(
        cli("convert-data", "voc", "out", "--images", "copy"),
        "error: out: No space left on device; nothing was written",
    )
    assert not voc.with_name("out").exists()
    assert not list(voc.parent.glob(".*"))


def test_labels_that_cannot_be_written_tell_of_no_hidden_folder(cli, voc, monkeypatch):
    def full(content, stream):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    refused(cli("convert-data", "voc", "out", "--to", "coco"), "error: out: No space left on device; nothing")
    assert not voc.with_name("out").exists() and not list(voc.parent.glob(".*"))


def test_unsound_yolo_folders(cli, yolo, image):
    (yolo / "labels" / "val" / "b.txt").write_text("0 0.5 0.5 1 1\n")
    refused(cli("convert-data", "yolo", "out"), "b.txt: its image b.* is not in ", "--missing skip")
    (yolo / "labels" / "val" / "b.txt").unlink()
    image(yolo / "images" / "val" / "a.png")
    pair = "yolo/images/val/a.jpg and yolo/images/val/a.png"
    refused(cli("convert-data", "yolo", "out"), f"error: {pair} share the label file yolo/labels/val/a.txt")
    (yolo / "data.yaml").unlink()
    refused(
        cli("convert-data", "yolo", "out"),
        "neither data.yaml nor classes.txt; name the classes with --classes",
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (CSV.replace("XMax,", ""), "line 1 lacks the column 'XMax'"),
        (CSV + "a,x,/m/1,1,0,0.5\n", "line 2: has 6 fields, the header 13"),
        (CSV + "a,x,/m/1,1,0,80,0,60,0,0,0,0,0\n", "line 2: XMax is '80'; it must be a fraction"),
        (CSV + "a,x,/m/1,1,0,1,nan,1,0,0,0,0,0\n", "line 2: YMin is 'nan'"),
        (CSV + "a,x,/m/1,1,0,1,0,1,0,0,yes,0,0\n", "line 2: IsGroupOf is 'yes'; it must be 0, 1 or -1"),
        (CSV + "a,x,/m/9,1,0,1,0,1,0,0,0,0,0\n", "LabelName '/m/9' of a is not in "),
        (CSV + "z,x,/m/1,1,0,1,0,1,0,0,0,0,0\n", "its image z is not in "),
        ("", "line 1 lacks the column 'ImageID'"),
    ],
)
def test_an_unsound_openimages_csv(cli, openimages, text, part):
    (openimages / "train" / "labels" / "detections.csv").write_text(text)
    refused(cli("convert-data", "open", "out"), "detections.csv", part)


def test_unsound_openimages_classes(cli, openimages):
    (openimages / "train" / "metadata" / "classes.csv").write_text("/m/1,cat,x\n")
    refused(cli("convert-data", "open", "out"), "classes.csv line 1: has 3 fields")
    (openimages / "train" / "metadata" / "classes.csv").write_text("")
    refused(cli("convert-data", "open", "out"), "classes.csv: the class list is empty")
    (openimages / "train" / "metadata" / "classes.csv").write_text("/m/1,cat\n/m/2,dog\n")
    refused(cli("convert-data", "open", "out"), "classes.csv: other classes than in the other splits")


def test_unsound_coco(cli, tmp_path):
    root = write_set(tmp_path / "set")
    path = root / "annotations" / "train.json"
    content = json.loads(path.read_text())
    content["images"][1]["file_name"] = "1.jpg"
    path.write_text(json.dumps(content))
    refused(cli("convert-data", "set", "out", "--to", "yolo"), "train.json: two images are called '1.jpg'")
    content["images"][1]["file_name"] = "gone.jpg"
    path.write_text(json.dumps(content))
    refused(
        cli("convert-data", "set", "out", "--to", "yolo"), "its image gone.jpg is not in ", "--missing skip"
    )


def test_what_cannot_be_told_or_written(cli, voc, yolo, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(cli("convert-data", "empty", "out"), "empty: no labels found", "--from")
    refused(cli("convert-data", "gone", "out"), "gone: no such folder")
    refused(cli("convert-data", "voc", "yolo"), "yolo: the folder is not empty; name a new one")
    refused(
        cli("convert-data", "voc", "voc/Annotations/a.xml"),
        "a.xml: is a file; a folder is to be written here",
    )
    refused(cli("convert-data", "voc", "out", "--classes", "catt"), "unknown class 'catt'; did you mean cat?")
    refused(cli("convert-data", "voc", "out", "--val-share", "0.5"), "has a val split already")
    (voc / "data.yaml").write_text("names: [a]\n")
    refused(cli("convert-data", "voc", "out"), "holds labels of voc and yolo; choose with --from")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("fmt", ["voc", "yolo", "openimages"])
def test_images_that_differ_only_in_the_suffix_are_both_named(cli, tmp_path, fmt):
    root = write_set(tmp_path / "set")
    shutil.copy(root / "train" / "2.jpg", root / "train" / "1.png")
    rename(root, "2.jpg", "1.png")
    outcome = cli("convert-data", "set", "out", "--to", fmt)
    refused(outcome, "set/train/1.jpg and set/train/1.png: these differ only in the suffix")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a\nb.jpg", "a .jpg", "a\u2028b.jpg"])
def test_names_that_the_lists_of_voc_cannot_hold(cli, tmp_path, name):
    root = write_set(tmp_path / "set")
    (root / "train" / "2.jpg").rename(root / "train" / name)
    rename(root, "2.jpg", name)
    refused(cli("convert-data", "set", "out", "--to", "voc"), "the lists of VOC cannot hold such a name")
    for fmt in ("yolo", "openimages"):
        assert cli("convert-data", "set", fmt, "--to", fmt).status == 0
        assert cli("convert-data", fmt, f"{fmt}_back").status == 0
        assert name in {row[0] for row in rows_of(tmp_path / f"{fmt}_back", "train")}


def rename(root, old, new):
    path = root / "annotations" / "train.json"
    content = json.loads(path.read_text())
    for row in content["images"]:
        row["file_name"] = new if row["file_name"] == old else row["file_name"]
    path.write_text(json.dumps(content))


def test_links_in_circles_are_walked_once(cli, yolo):
    before = cli("convert-data", "yolo", "before")
    (yolo / "images" / "train" / "again").symlink_to(".")
    outcome = cli("convert-data", "yolo", "after")
    assert outcome.status == 0 and outcome.out.replace("after", "before") == before.out
