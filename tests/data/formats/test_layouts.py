"""The layouts that labelling tools write, beside those of tests/vectors/cases."""

import json
import math

import pytest
from label_files import labelme, rows_of, voc_xml
from layouts import CAT, REGION, XML, YOLO_LINE, coco, converted, text
from small import refused

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
