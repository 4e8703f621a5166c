"""What holds for all layouts that labelling tools write, whatever the format."""

import json

import pytest
from label_files import labelme, rows_of, voc_xml
from layouts import REGION, XML, YOLO_LINE, coco, converted, text
from PIL import Image
from small import refused

from gluon_ssd.data.opening import open_dataset
from gluon_ssd.errors import UserError


def test_attributes_that_mean_leave_it_are_counted(cli, photo, tmp_path):
    photo(tmp_path / "set/train/a.jpg")
    content = json.loads(coco("a.jpg", attributes={"occluded": True, "rotation": 0.0}))
    content["annotations"].append({**content["annotations"][0], "id": 9, "iscrowd": 1, "attributes": {}})
    text(tmp_path / "set/annotations/instances_train.json", json.dumps(content))
    said = converted(cli, tmp_path, train=["a.jpg", "a.jpg"])
    assert "objects marked occluded, kept as the others: 1" in said
    assert "crowd regions, which training and evaluation ignore: 1" in said


def test_attributes_that_are_text_count_as_well(cli, photo, tmp_path):
    photo(tmp_path / "set/train/a.jpg")
    content = json.loads(coco("a.jpg", attributes={"rotation": "90.0", "occluded": "true"}))
    box = content["annotations"][0]
    box["bbox"] = [220, 0, 60, 100]
    content["images"][0].update(width=None, height=None)
    content["annotations"] += [{**box, "id": 2, "ignore": "True"}, {**box, "id": 3, "IsGroupOf": True}]
    text(tmp_path / "set/annotations/instances_train.json", json.dumps(content))
    said = converted(cli, tmp_path, train=["a.jpg"] * 3)
    assert [row[3] for row in rows_of(tmp_path / "out", "train")] == [0, 1, 1]
    for line in ("rotated boxes, of which the enclosing upright box is kept: 3", "objects marked occluded"):
        assert line in said
    assert "images whose annotation gives no size; the file's is taken: 1" in said


@pytest.mark.parametrize("form", ["tf_csv", "via"])
def test_flags_of_tables_and_via_are_heeded(cli, photo, tmp_path, form):
    photo(tmp_path / "set/a.jpg")
    if form == "tf_csv":
        header = "filename,width,height,class,xmin,ymin,xmax,ymax,difficult,ignore\n"
        row = "a.jpg,320,200,cat,200,20,300,80,"
        text(tmp_path / "set/train.csv", f"{header}{row}1,0\n{row}0,1\n")
    else:
        flags = ({"difficult": "1"}, {"ignore": True})
        regions = [{**REGION, "region_attributes": {"class": "cat", **flag}} for flag in flags]
        text(tmp_path / "set/v.json", json.dumps({"a": {"filename": "a.jpg", "regions": regions}}))
    said = converted(cli, tmp_path, train=["a.jpg", "a.jpg"])
    assert "objects marked difficult, kept as the others: 1" in said
    assert "objects marked ignore, taken as crowd regions" in said
    assert [row[3] for row in rows_of(tmp_path / "out", "train")] == [0, 1]


def test_boxes_for_another_size_of_the_image(cli, photo, tmp_path):
    photo(tmp_path / "set/train/a.jpg")
    content = json.loads(coco("a.jpg", box=[400, 40, 200, 120]))
    content["images"][0].update(width=640, height=400)
    text(tmp_path / "set/annotations/instances_train.json", json.dumps(content))
    said = cli("convert-data", "set", "kept").out
    assert "warning: images whose annotation gives another size than the file has" in said
    said = converted(cli, tmp_path, "--other-size", "scale", train=["a.jpg"])
    assert "their boxes are scaled to the file's: 1" in said


def test_class_names_that_cannot_be_told_apart_are_quoted(cli, photo, tmp_path):
    photo(tmp_path / "set/train/a.jpg")
    text(tmp_path / "set/annotations/instances_train.json", coco("a.jpg").replace('"cat"', '"cat "'))
    assert "classes: 1 ('cat ')" in converted(cli, tmp_path, train=["a.jpg"])
    refused(
        cli("convert-data", "set", "new", "--classes", "cat"), "unknown class 'cat'; did you mean 'cat '?"
    )


def test_a_data_yaml_of_another_machine(cli, photo, tmp_path):
    photo(tmp_path / "set/train/images/a.jpg")
    text(tmp_path / "set/train/labels/a.txt", YOLO_LINE)
    text(tmp_path / "set/data.yaml", "path: C:\\data\ntrain: /content/project/train/images\nnames: [cat]\n")
    converted(cli, tmp_path, train=["a.jpg"])


@pytest.mark.parametrize("flaw", ["no labels", "no json", "missing image"])
def test_a_flaw_of_the_test_split_stops_nothing(cli, photo, tmp_path, flaw):
    if flaw == "no labels":
        for split in ("train", "test"):
            photo(tmp_path / f"set/{split}/images/{split}.jpg")
        text(tmp_path / "set/train/labels/train.txt", YOLO_LINE)
        text(tmp_path / "set/data.yaml", "train: train/images\ntest: test/images\nnames: [cat]\n")
    else:
        photo(tmp_path / "set/train/train.jpg")
        text(tmp_path / "set/annotations/instances_train.json", coco("train.jpg"))
        content = coco("gone.jpg")[: -1 if flaw == "no json" else None]
        text(tmp_path / "set/annotations/instances_test.json", content)
    said = converted(cli, tmp_path, train=["train.jpg"])
    assert "test" in said and "left out" in said


def test_two_lists_over_one_folder_of_images(cli, photo, tmp_path):
    for name in ("a", "b", "c"):
        photo(tmp_path / f"set/images/{name}.jpg")
        text(tmp_path / f"set/labels/{name}.txt", YOLO_LINE)
    text(tmp_path / "set/train.txt", "images/a.jpg\n")
    text(tmp_path / "set/val.txt", "images/b.jpg\n")
    text(tmp_path / "set/data.yaml", "train: train.txt\nval: val.txt\nnames: [cat]\n")
    converted(cli, tmp_path, train=["a.jpg"], val=["b.jpg"])


def test_a_voc_list_of_image_files(cli, photo, tmp_path):
    photo(tmp_path / "set/JPEGImages/a.jpg")
    text(tmp_path / "set/Annotations/a.xml", XML)
    text(tmp_path / "set/ImageSets/Main/train.txt", "./JPEGImages/a.jpg ./Annotations/a.xml\n")
    converted(cli, tmp_path, train=["a.jpg"])


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        (
            "a.json",
            '[1, {"shapes": 1, "imagePath": 2}]',
            "a.json: 'shapes' must be a list and 'imagePath' a name",
        ),
        ("a.json", '{"shapes": [5], "imagePath": "a.jpg"}', "a.json: shapes[0] lacks a label"),
        (
            "v.json",
            '{"a": {"filename": "a.jpg", "regions": [{"shape_attributes": "x"}]}}',
            "a.jpg region 0: shape",
        ),
        (
            "v.json",
            '{"a": {"filename": "a.jpg", "regions": {"0": 5}, "shape_attributes": 1}}',
            "region 0: shape",
        ),
        ("v.json", '{"a": 1, "filename": 2, "shape_attributes": 3}', "'a' has no 'filename'"),
    ],
)
def test_files_that_only_look_like_a_format(cli, photo, tmp_path, name, content, part):
    photo(tmp_path / "set/a.jpg")
    text(tmp_path / "set" / name, content)
    refused(cli("convert-data", "set", "out"), part)


# -- Folders and names as people have them


@pytest.mark.parametrize("outer", ["export", "archive/data"])
def test_labels_one_or_two_folders_further_down(cli, photo, tmp_path, monkeypatch, outer):
    photo(tmp_path / "set" / outer / "JPEGImages/a.jpg")
    text(tmp_path / "set" / outer / "Annotations/a.xml", XML)
    line = f"the labels were found in set/{outer}\n"
    assert line in converted(cli, tmp_path, train=["a.jpg"])
    monkeypatch.setattr("gluon_ssd.report.data_check._write_pictures", lambda *arguments: [])
    assert f"note: train: {line}" in cli("check", "set", "--model", "ssd_tiny", "--output", "report").out


def test_several_data_sets_in_a_folder_are_named(cli, photo, tmp_path):
    for name in ("one", "two"):
        photo(tmp_path / f"set/{name}/images/a.jpg")
        text(tmp_path / f"set/{name}/annots/a.xml", XML)
    refused(cli("convert-data", "set", "out"), "set: holds several data sets (set/one, set/two); give")


@pytest.mark.parametrize("labels", ["Labels", "LABELS", "labels"])
def test_yolo_folders_and_files_in_capitals(cli, photo, tmp_path, labels):
    photo(tmp_path / "set/Images/A.JPG")
    text(tmp_path / "set" / labels / "A.TXT", YOLO_LINE)
    text(tmp_path / "set/Classes.txt", "cat\n")
    converted(cli, tmp_path, train=["A.JPG"])


def test_darknet_of_roboflow(cli, photo, tmp_path):
    for split in ("train", "valid"):
        photo(tmp_path / f"set/{split}/{split}.jpg")
        text(tmp_path / f"set/{split}/{split}.txt", YOLO_LINE)
        text(tmp_path / f"set/{split}/_darknet.labels", "cat\n")
    converted(cli, tmp_path, train=["train.jpg"], val=["valid.jpg"])


def test_a_csv_of_a_spreadsheet(cli, photo, tmp_path):
    photo(tmp_path / "set/a.jpg")
    table = "Filename\tWidth\tHeight\tClass\tXmin\tYmin\tXmax\tYmax\r\na\t320\t200\tcat\t200\t20\t300\t80\r\n"
    text(tmp_path / "set/train.csv", table.encode("utf-16"))
    # The name of the image has no suffix there.
    assert "images found under another spelling" in converted(cli, tmp_path, train=["a.jpg"])


@pytest.mark.parametrize("spelt", ["sub\\b%20c", "C:/gone/sub/b c", "SUB/B C"])
def test_openimages_names_of_another_spelling(cli, photo, tmp_path, spelt):
    photo(tmp_path / "set/train/data/sub/b c.jpg")
    text(tmp_path / "set/train/metadata/classes.csv", "/m/1,cat\n")
    columns = "ImageID,LabelName,XMin,XMax,YMin,YMax"
    text(tmp_path / "set/train/labels/detections.csv", f"{columns}\n{spelt},/m/1,0.625,0.9375,0.1,0.4\n")
    assert "images found under another spelling" in converted(cli, tmp_path, train=["b c.jpg"])


def test_an_image_without_labels_takes_none_of_an_image_that_has_them(photo, tmp_path):
    """Not even where the names look as if a tool had put a prefix in front of one of them."""
    for name in ("2019-1", "2019-2", "2020-1"):
        photo(tmp_path / f"set/{name}.jpg")
    text(tmp_path / "set/2019-2.txt", YOLO_LINE)
    text(tmp_path / "set/2020-1.txt", YOLO_LINE)
    text(tmp_path / "set/obj.names", "cat\n")
    text(tmp_path / "set/train.txt", "2019-1.jpg\n2019-2.jpg\n")
    text(tmp_path / "set/val.txt", "2020-1.jpg\n")
    records = open_dataset(tmp_path / "set", "train").records
    assert [(record.path.name, len(record.boxes)) for record in records] == [
        ("2019-1.jpg", 0),
        ("2019-2.jpg", 1),
    ]


def test_a_label_file_that_two_images_could_mean_is_of_neither(photo, tmp_path):
    for name in ("0a1b2c3d-a", "4e5f6a7b-a", "b"):
        photo(tmp_path / f"set/images/{name}.jpg")
    for name in ("a", "b"):
        text(tmp_path / f"set/labels/{name}.txt", YOLO_LINE)
    text(tmp_path / "set/classes.txt", "cat\n")
    with pytest.raises(UserError, match=r"labels/a\.txt: its image a\.\* is not in"):
        open_dataset(tmp_path / "set")


@pytest.mark.parametrize("name", ["data.yaml", "obj.data"])
def test_what_a_list_spells_otherwise_or_misses_is_counted(cli, photo, tmp_path, name):
    photo(tmp_path / "set/images/a.jpg")
    text(tmp_path / "set/images/a.txt", YOLO_LINE)
    text(tmp_path / "set/train.txt", "data\\images\\a.jpg\nimages/gone.jpg\n")
    text(tmp_path / "set/obj.names", "cat\n")
    yaml = "train: train.txt\nnames: [cat]\n"
    text(tmp_path / "set" / name, yaml if name == "data.yaml" else "train = train.txt\nnames = obj.names\n")
    said = converted(cli, tmp_path, "--missing", "skip", train=["a.jpg"])
    assert "images found under another spelling of the name that the labels give: 1" in said
    assert "images that are named but missing, left out: 1" in said


def labelled(root, form, folder, name):
    """An image and its labels in a folder of the data set: YOLO's, VOC's or LabelMe's."""
    if form == "yolo":
        text(root / "labels" / folder / f"{name}.txt", YOLO_LINE)
        text(root / "classes.txt", "cat\n")
    elif form == "voc":
        text(root / "Annotations" / folder / f"{name}.xml", XML.replace("a.jpg", f"{name}.jpg"))
    else:
        points = {"label": "cat", "shape_type": "rectangle", "points": [[300, 80], [200, 20]]}
        text(root / "images" / folder / f"{name}.json", labelme(points, path=f"{name}.jpg"))


@pytest.mark.parametrize("form", ["yolo", "voc", "labelme"])
def test_folders_of_no_split_never_join_one_in_silence(cli, photo, tmp_path, form):
    for folder in ("Training_Set", "eval", "holdout"):
        photo(tmp_path / "set/images" / folder / f"{folder}.jpg")
        labelled(tmp_path / "set", form, folder, folder)
    said = converted(cli, tmp_path, train=["Training_Set.jpg"], val=["eval.jpg"])
    assert "holdout is not used: its name is of no split (train, val, test)" in said


@pytest.mark.parametrize("form", ["yolo", "voc", "labelme"])
def test_folders_of_no_split_at_all_are_train_and_that_is_said(cli, photo, tmp_path, form):
    for folder in ("monday", "tuesday"):
        photo(tmp_path / "set/images" / folder / f"{folder}.jpg")
        labelled(tmp_path / "set", form, folder, folder)
    said = converted(cli, tmp_path, train=["monday.jpg", "tuesday.jpg"])
    assert "of no split (train, val, test); all is taken as train" in said


def test_images_beside_the_folders_of_splits_are_named(cli, photo, tmp_path):
    photo(tmp_path / "set/images/train/a.jpg")
    photo(tmp_path / "set/images/b.jpg")
    labelled(tmp_path / "set", "yolo", "train", "a")
    said = converted(cli, tmp_path, train=["a.jpg"])
    assert "set/images: 1 images are in no folder of a split; they are not used" in said


TABLE = "filename,width,height,class,xmin,ymin,xmax,ymax\n{}.jpg,320,200,cat,200,20,300,80\n"
OPEN = "ImageID,LabelName,XMin,XMax,YMin,YMax\n{},/m/1,0.625,0.9375,0.1,0.4\n"


@pytest.mark.parametrize("form", ["labelme", "tf_csv", "via", "yolo", "darknet", "openimages"])
def test_a_test_split_without_its_images_stops_no_format(cli, photo, tmp_path, form):
    root = tmp_path / "set"
    photo(root / "train/data/a.jpg")
    text(root / "train/data/a.txt", YOLO_LINE)
    points = {"label": "cat", "shape_type": "rectangle", "points": [[300, 80], [200, 20]]}
    for split, name in (("train", "a"), ("test", "b")):
        regions = {"a": {"filename": f"{name}.jpg", "regions": [{**REGION}]}}
        path, content = {
            "labelme": (f"{split}/data/{name}.json", labelme(points, path=f"{name}.jpg")),
            "tf_csv": (f"{split}/_annotations.csv", TABLE.format(name)),
            "via": (f"{split}/via.json", json.dumps(regions)),
            "openimages": (f"{split}/labels/detections.csv", OPEN.format(name)),
        }.get(form, (f"{split}.txt", f"train/data/{name}.jpg\n"))
        text(root / path, content)
    if form == "yolo":
        text(root / "data.yaml", "train: train.txt\ntest: test.txt\nnames: [cat]\n")
    elif form == "darknet":
        text(root / "obj.names", "cat\n")
        text(root / "obj.data", "train = train.txt\ntest = test.txt\nnames = obj.names\n")
    elif form == "openimages":
        text(root / "train/metadata/classes.csv", "/m/1,cat\n")
    said = converted(cli, tmp_path, "--from", form, train=["a.jpg"])
    assert "the split 'test' is left out: " in said


@pytest.mark.parametrize("form", ["coco", "voc"])
def test_the_way_up_of_images_without_a_size_is_asked_for(cli, photo, tmp_path, form):
    path = photo(tmp_path / "set/train/a.jpg")
    photograph = Image.open(path)
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph.save(path, exif=exif)
    if form == "coco":
        content = json.loads(coco("a.jpg"))
        del content["images"][0]["width"], content["images"][0]["height"]
        text(tmp_path / "set/train.json", json.dumps(content))
    else:
        text(tmp_path / "set/train/a.xml", voc_xml(("cat", (201, 21, 300, 80)), size=None))
    said = cli("convert-data", "set", "upright", "--missing", "skip").out
    assert "warning: images that EXIF turns, where the size does not tell" in said
    dataset = open_dataset("set", "train")
    assert any("assumed to be for the upright picture" in line for line in dataset.lines)
    assert cli("convert-data", "set", "stored", "--orientation", "stored").status == 0
    assert rows_of(tmp_path / "stored", "train") == [("a.jpg", "cat", [120, 200, 60, 100], 0)]
    (record,) = open_dataset("set", "train", orientation="stored").records
    assert record.pixels().shape == (record.height, record.width, 3)


def test_record_files_of_a_data_set_without_a_validation_split(cli, photo, tmp_path):
    photo(tmp_path / "set/images/a.jpg")
    labelled(tmp_path / "set", "yolo", "", "a")
    result = cli("prepare-records", "set", "packed")
    assert (result.status, result.err) == (0, ""), result
    assert "set: has no split 'val'; only train is packed" in result.out
    assert len(open_dataset("packed", "train")) == 1
    refused(cli("prepare-records", "set", "more", "--split", "val"), "has no split 'val', only train")
