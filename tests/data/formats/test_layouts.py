"""The layouts that labelling tools write, beside those of tests/vectors/cases."""

import json
import math

import pytest
from label_files import labelme, rows_of, voc_xml
from PIL import Image
from small import refused

from gluon_ssd.data.opening import open_dataset
from gluon_ssd.errors import UserError

CAT = [200, 20, 100, 60]


@pytest.fixture
def photo(image):
    """Write a picture of 320 x 200 pixels."""
    return lambda path: image(path, 320, 200)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def coco(*names, box=CAT, **more):
    return json.dumps(
        {
            "images": [
                {"id": k, "file_name": n, "width": 320, "height": 200} for k, n in enumerate(names, 1)
            ],
            "annotations": [
                {"id": k, "image_id": k, "category_id": 1, "bbox": box, **more}
                for k in range(1, len(names) + 1)
            ],
            "categories": [{"id": 1, "name": "cat"}],
        }
    )


YOLO_LINE = "0 0.78125 0.25 0.3125 0.3\n"
XML = voc_xml(("cat", (201, 21, 300, 80)), size=(320, 200))


def converted(cli, tmp_path, *flags, **expected):
    """Convert ``set`` and compare the images and boxes of each split; returns what was printed."""
    result = cli("convert-data", "set", "out", *flags)
    assert (result.status, result.err) == (0, ""), result
    found = {
        path.stem[len("instances_") :]: rows_of(tmp_path / "out", path.stem[len("instances_") :])
        for path in (tmp_path / "out" / "annotations").iterdir()
    }
    assert {split: sorted(row[0] for row in rows) for split, rows in found.items()} == expected
    assert all(row[2] == CAT for rows in found.values() for row in rows)
    return result.out


# -- COCO


def test_cvat_coco_of_one_subset(cli, photo, tmp_path):
    photo(tmp_path / "set/images/default/a.jpg")
    text(tmp_path / "set/annotations/instances_default.json", coco("a.jpg"))
    said = converted(cli, tmp_path, train=["a.jpg"])
    assert "annotations/instances_default.json names no split; its images are taken as train" in said


def test_fiftyone_coco(cli, photo, tmp_path):
    for split in ("train", "validation"):
        photo(tmp_path / f"set/{split}/data/{split}.jpg")
        text(tmp_path / f"set/{split}/labels.json", coco(f"{split}.jpg"))
    converted(cli, tmp_path, train=["train.jpg"], val=["validation.jpg"])


def test_coco_files_that_are_not_used_are_named(cli, photo, tmp_path):
    photo(tmp_path / "set/images/a.jpg")
    for name in ("instances_train", "person_keypoints_train", "instances_holdout"):
        text(tmp_path / f"set/annotations/{name}.json", coco("a.jpg"))
    said = converted(cli, tmp_path, train=["a.jpg"])
    used = "set/annotations/instances_train.json"
    assert f"person_keypoints_train.json is not used, since {used} is" in said
    assert "instances_holdout.json is not used: its name is of no split" in said


def test_a_byte_order_mark_and_windows_line_ends(cli, photo, tmp_path):
    photo(tmp_path / "set/train/a.jpg")
    text(tmp_path / "set/annotations/instances_train.json", b"\xef\xbb\xbf" + coco("a.jpg").encode())
    converted(cli, tmp_path, train=["a.jpg"])


def test_label_studio_prefix_on_labels_alone(cli, photo, tmp_path):
    photo(tmp_path / "set/images/a.jpg")
    text(tmp_path / "set/result.json", coco("images\\\\0a1b2c3d-a.jpg".replace("\\\\", "\\")))
    assert "images found under another spelling" in converted(cli, tmp_path, train=["a.jpg"])


def test_two_images_that_a_name_could_mean_are_an_error(cli, photo, tmp_path):
    for folder in ("x", "y"):
        photo(tmp_path / f"set/images/{folder}/a.jpg")
    text(tmp_path / "set/result.json", coco("images/gone/a.jpg"))
    refused(cli("convert-data", "set", "out"), "x/a.jpg and y/a.jpg could both be the image that labels call")


# -- YOLO and Darknet


def test_yolo_splits_of_any_name_and_case(cli, photo, tmp_path):
    for split in ("Train", "Validation"):
        photo(tmp_path / f"set/images/{split}/{split}.jpg")
        text(tmp_path / f"set/labels/{split}/{split}.txt", YOLO_LINE)
    text(
        tmp_path / "set/data.yaml", "Train: images/Train\nValidation: images/Validation\nnames: {'0': cat}\n"
    )
    converted(cli, tmp_path, train=["Train.jpg"], val=["Validation.jpg"])


def test_yolo_of_label_studio(cli, photo, tmp_path):
    photo(tmp_path / "set/images/a.jpg")
    text(tmp_path / "set/labels/0a1b2c3d-a.txt", YOLO_LINE.replace("\n", "\r\n"))
    text(tmp_path / "set/classes.txt", b"\xef\xbb\xbfcat\r\n")
    text(tmp_path / "set/notes.json", '{"categories": []}')
    assert "images found under another spelling" in converted(cli, tmp_path, train=["a.jpg"])


def test_a_yaml_of_any_name_a_list_file_and_a_split_of_no_name(cli, photo, tmp_path):
    photo(tmp_path / "set/images/a.jpg")
    text(tmp_path / "set/labels/a.txt", YOLO_LINE)
    text(tmp_path / "set/files.txt", "./images/a.jpg\n")
    text(tmp_path / "set/mine.yaml", "path: .\ntrain: files.txt\nholdout: files.txt\nnc: 1\nnames: [cat]\n")
    assert "'holdout' is not used: its name is of no split" in converted(cli, tmp_path, train=["a.jpg"])


def test_oriented_boxes_become_the_boxes_around_them(cli, photo, tmp_path):
    photo(tmp_path / "set/images/train/a.jpg")
    corners = "0.625 0.25 0.78125 0.1 0.9375 0.25 0.78125 0.4"
    text(tmp_path / "set/labels/train/a.txt", f"0 {corners}\n")
    text(tmp_path / "set/data.yaml", "train: images/train\nnames: [cat]\n")
    said = converted(cli, tmp_path, train=["a.jpg"])
    assert "rotated boxes, of which the enclosing upright box is kept: 1" in said


@pytest.mark.parametrize("split", ["", "train/"])
def test_labels_beside_the_images(cli, photo, tmp_path, split):
    photo(tmp_path / f"set/{split}a.jpg")
    text(tmp_path / f"set/{split}a.txt", YOLO_LINE)
    text(tmp_path / f"set/{split}classes.txt", "cat\n")
    converted(cli, tmp_path, train=["a.jpg"])


def test_yolo_mark_and_a_validation_list(cli, photo, tmp_path):
    for name in ("a", "b"):
        photo(tmp_path / f"set/data/img/{name}.jpg")
        text(tmp_path / f"set/data/img/{name}.txt", YOLO_LINE)
    text(tmp_path / "set/data/obj.names", "cat\n")
    text(tmp_path / "set/data/train.txt", "data/img/a.jpg\r\n")
    text(tmp_path / "set/data/valid.txt", "data\\img\\b.jpg\n")
    lists = "classes= 1\ntrain  = data/train.txt\nvalid  = data/valid.txt\ntest = data/test.txt\n"
    text(tmp_path / "set/data/obj.data", f"{lists}names = data/obj.names\nbackup = backup/\n")
    said = converted(cli, tmp_path, train=["a.jpg"], val=["b.jpg"])
    assert "'test' names data/test.txt, which is not there; there is no such split" in said


def test_yolo_lines_in_pixels(cli, photo, tmp_path):
    photo(tmp_path / "set/images/a.jpg")
    text(tmp_path / "set/labels/a.txt", "0 250 50 100 60\n")
    text(tmp_path / "set/classes.txt", "cat\n")
    refused(cli("convert-data", "set", "out"), "250 is no fraction of the image", "--boxes cxcywh")
    converted(cli, tmp_path, "--boxes", "cxcywh", train=["a.jpg"])


# -- VOC


@pytest.mark.parametrize("labels", ["annotations", "annots", "labels", "Annotations", "."])
@pytest.mark.parametrize("images", ["images", "JPEGImages", "."])
def test_voc_folders_of_any_name_and_case(cli, photo, tmp_path, labels, images):
    photo(tmp_path / "set" / images / "a.jpg")
    text(tmp_path / "set" / labels / "a.xml", XML)
    converted(cli, tmp_path, train=["a.jpg"])


def test_voc_lists_of_other_names(cli, photo, tmp_path):
    for name in ("a", "b", "c"):
        photo(tmp_path / f"set/JPEGImages/{name}.jpg")
        text(tmp_path / f"set/Annotations/{name}.xml", XML.replace("a.jpg", f"{name}.jpg"))
    sets = tmp_path / "set/ImageSets/Main"
    text(sets / "TRAIN.txt", "a\n")
    text(sets / "holdout.txt", "b\n")
    text(sets / "cat_train.txt", "a 1\n")
    text(sets / "test.txt", "d\ne\n")
    said = converted(cli, tmp_path, train=["a.jpg"])
    assert "holdout.txt is not used: its name is of no split" in said
    assert "1 lists of single classes are not used" in said
    assert "test.txt: 2 of its images have no XML file; they are left out" in said
    assert "2 XML files are in no list that is used; they are left out" in said


def test_a_voc_list_of_no_split_alone_is_taken_for_training_and_said(cli, photo, tmp_path):
    photo(tmp_path / "set/JPEGImages/a.jpg")
    text(tmp_path / "set/Annotations/a.xml", XML)
    text(tmp_path / "set/ImageSets/Main/default.txt", "a\n")
    assert "default.txt names no split; its images are taken as train" in converted(
        cli, tmp_path, train=["a.jpg"]
    )


def test_voc_rotated_by_cvat_and_by_rolabelimg(cli, photo, tmp_path):
    attribute = "<attributes><attribute><name>rotation</name><value>90.0</value></attribute></attributes>"
    box = "<bndbox><xmin>221</xmin><ymin>1</ymin><xmax>280</xmax><ymax>100</ymax></bndbox>"
    turned = f"<object><name>cat</name>{box}{attribute}</object>"
    angle = f"<angle>{math.pi / 2}</angle>"
    robndbox = f"<robndbox><cx>250</cx><cy>50</cy><w>60</w><h>100</h>{angle}</robndbox>"
    for name, extra in (("a", turned), ("b", f"<object><name>cat</name>{robndbox}</object>")):
        photo(tmp_path / f"set/{name}.jpg")
        text(tmp_path / f"set/{name}.xml", voc_xml(name=f"{name}.jpg", size=(320, 200), extra=extra))
    said = converted(cli, tmp_path, train=["a.jpg", "b.jpg"])
    assert "rotated boxes, of which the enclosing upright box is kept: 2" in said


# -- LabelMe, TensorFlow's CSV, VIA


def test_labelme(cli, photo, tmp_path):
    photo(tmp_path / "set/train/a.jpg")
    photo(tmp_path / "set/val/b.jpg")
    shape = {"label": "cat", "shape_type": "rectangle", "points": [[300, 80], [200, 20]], "flags": {}}
    polygon = {"label": "cat", "shape_type": "polygon", "points": [[200, 20], [300, 50], [250, 80]]}
    circle = {"label": "dot", "shape_type": "point", "points": [[1, 1]]}
    text(tmp_path / "set/train/a.json", labelme(shape, circle))
    text(tmp_path / "set/val/b.json", labelme(polygon, path="..\\elsewhere\\b.jpg", imageWidth=None))
    said = converted(cli, tmp_path, train=["a.jpg"], val=["b.jpg"])
    assert "outlines (masks), of which only the box is kept: 1" in said
    assert "points and lines, which have no box, left out: 1" in said
    assert "images whose annotation gives no size; the file's is taken: 1" in said
    text(tmp_path / "set/train/a.json", labelme({"label": "cat", "points": [["x", 1]]}))
    refused(
        cli("convert-data", "set", "new"), "a.json: shapes[0]: 'points' must be a list of [x, y] in pixels"
    )


@pytest.mark.parametrize("separator", [",", ";"])
def test_tensorflow_csv(cli, photo, tmp_path, separator):
    header = "filename,width,height,class,xmin,ymin,xmax,ymax\r\n".replace(",", separator)
    for split in ("train", "valid"):
        photo(tmp_path / f"set/{split}/{split}.jpg")
        row = f"{split}.jpg,320,200,cat,200,20,300,80\r\n".replace(",", separator)
        text(tmp_path / f"set/{split}/_annotations.csv", header + row)
    converted(cli, tmp_path, train=["train.jpg"], val=["valid.jpg"])


def test_tensorflow_csv_beside_a_folder_of_images(cli, photo, tmp_path):
    header = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    for split in ("train", "test"):
        photo(tmp_path / f"set/images/{split}/{split}.jpg")
        text(tmp_path / f"set/{split}_labels.csv", f"{header}{split}.jpg,320,200,cat,200,20,300,80\n")
    converted(cli, tmp_path, train=["train.jpg"], test=["test.jpg"])
    text(tmp_path / "set/train_labels.csv", f"{header}train.jpg,320,200,cat,200,x,300,80\n")
    refused(cli("convert-data", "set", "new"), "train_labels.csv line 2: ymin is 'x'; it must be a number")


REGION = {
    "shape_attributes": {"name": "rect", "x": 200, "y": 20, "width": 100, "height": 60},
    "region_attributes": {"species": "cat"},
}
ELLIPSE = {
    "shape_attributes": {"name": "ellipse", "cx": 250, "cy": 50, "rx": 30, "ry": 50, "theta": math.pi / 2},
    "region_attributes": {"species": "cat"},
}


@pytest.mark.parametrize("form", ["project", "export", "version 1"])
def test_via_json(cli, photo, tmp_path, form):
    photo(tmp_path / "set/images/a.jpg")
    regions = {"0": REGION, "1": ELLIPSE} if form == "version 1" else [REGION, ELLIPSE]
    images = {"a.jpg123": {"filename": "a.jpg", "size": 123, "regions": regions, "file_attributes": {}}}
    content = {"_via_settings": {}, "_via_img_metadata": images} if form == "project" else images
    text(tmp_path / "set/via.json", json.dumps(content))
    said = converted(cli, tmp_path, train=["a.jpg", "a.jpg"])
    assert "rotated boxes, of which the enclosing upright box is kept: 1" in said


@pytest.mark.parametrize("mark", ["", "#"])
def test_via_csv(cli, photo, tmp_path, mark):
    photo(tmp_path / "set/a.jpg")
    columns = (
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    )

    def quoted(value):
        return '"' + json.dumps(value).replace('"', '""') + '"'

    row = f"a.jpg,1,{quoted({})},1,0,{quoted(REGION['shape_attributes'])},{quoted({'class': {'cat': True}})}"
    text(tmp_path / "set/via.csv", f"{mark}{columns}\n{row}\n")
    converted(cli, tmp_path, train=["a.jpg"])


@pytest.mark.parametrize("form", ["labelme", "labelme circle", "via", "via polygon", "via circle", "tf_csv"])
def test_pixels_that_are_counted_from_1_are_read_so_in_every_format(cli, photo, tmp_path, form):
    photo(tmp_path / "set/a.jpg")
    labelme_shape = {"label": "cat", "shape_type": "rectangle", "points": [[201, 21], [300, 80]]}
    via_shape = {"name": "rect", "x": 201, "y": 21, "width": 100, "height": 60}
    if form.endswith("circle"):
        labelme_shape.update(shape_type="circle", points=[[251, 51], [251, 81]])
        via_shape = {"name": "circle", "cx": 251, "cy": 51, "r": 30}
    if form.endswith("polygon"):
        via_shape = {"name": "polygon", "all_points_x": [201, 300, 250], "all_points_y": [80, 21, 30]}
    region = {"shape_attributes": via_shape, "region_attributes": {"class": "cat"}}
    header = "filename,width,height,class,xmin,ymin,xmax,ymax"
    name, content = {
        "labelme": ("a.json", labelme(labelme_shape)),
        "via": ("via.json", json.dumps({"a": {"filename": "a.jpg", "regions": [region]}})),
        "tf_csv": ("train.csv", f"{header}\na.jpg,320,200,cat,201,21,300,80\n"),
    }[form.split()[0]]
    text(tmp_path / "set" / name, content)
    assert cli("convert-data", "set", "out", "--origin", 1).status == 0
    expected = [220, 20, 60, 60] if form.endswith("circle") else CAT
    assert [row[2] for row in rows_of(tmp_path / "out", "train")] == [expected]


# -- What is true of all


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
