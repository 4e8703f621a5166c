"""Files and folders among the labels that belong to another program: no format trips over them."""

import json
import os

import pytest
from label_files import CSV, rows_of, voc_xml
from small import refused, write_set

SUFFIXES = ("json", "xml", "txt", "csv", "yaml", "data", "tfrecord")
SHAPES = {
    "imagePath": "a.jpg",
    "imageWidth": 80,
    "imageHeight": 60,
    "shapes": [{"label": "cat", "points": [[10, 20], [30, 50]], "shape_type": "rectangle"}],
}
REGION = {
    "shape_attributes": {"name": "rect", "x": 10, "y": 20, "width": 20, "height": 30},
    "region_attributes": {"class": "cat"},
}
LABELS = {
    "coco": (
        "train.json",
        {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 80, "height": 60}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 20, 30]}],
            "categories": [{"id": 1, "name": "cat"}],
        },
    ),
    "labelme": ("a.json", SHAPES),
    "via": ("via.json", {"a.jpg1": {"filename": "a.jpg", "regions": [REGION]}}),
    "tf_csv": ("train.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,80,60,cat,10,20,30,50\n"),
    "voc": ("a.xml", voc_xml(("cat", (11, 21, 30, 50)))),
    "darknet": ("a.txt", "0 0.25 0.5833333333 0.25 0.5\n"),
}
ROW = ("a.jpg", "cat", [10, 20, 20, 30], 0)


@pytest.fixture
def one(tmp_path, image):
    """Write a data set of a format: one image with one cat, and its label beside it."""

    def write(fmt):
        name, content = LABELS[fmt]
        image(tmp_path / "set" / "a.jpg")
        (tmp_path / "set" / name).write_text(content if isinstance(content, str) else json.dumps(content))
        if fmt == "darknet":
            (tmp_path / "set" / "classes.txt").write_text("cat\n")
        return tmp_path / "set"

    return write


PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


@pytest.mark.parametrize("kind", ["folder", pytest.param("pipe", marks=PIPES)])
@pytest.mark.parametrize("fmt", [*LABELS, "yolo"])
def test_what_only_has_the_name_of_a_label_file_is_passed_over(cli, request, tmp_path, one, fmt, kind):
    root = request.getfixturevalue("yolo") if fmt == "yolo" else one(fmt)
    assert cli("convert-data", root, "plain").status == 0
    expected = rows_of(tmp_path / "plain", "train")
    assert fmt == "yolo" or expected == [ROW]
    for folder in (root, root / "more", *(root / name for name in ("labels/train", "Annotations"))):
        folder.mkdir(parents=True, exist_ok=True)
        for suffix in SUFFIXES:
            for stem in ("0", "train", "records_0"):
                odd = folder / f"{stem}.{suffix}"
                if not odd.exists():
                    odd.mkdir() if kind == "folder" else os.mkfifo(odd)
    outcome = cli("convert-data", root, "out")
    assert (outcome.status, outcome.err) == (0, "")
    assert rows_of(tmp_path / "out", "train") == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("obj.data", b"\x80\x02\xff\xfe"),
        ("data/scan.data", b"\xff\xff"),
        ("train.txt", b"\xff\xff"),
        ("data.yaml", b"\xff\xff"),
        ("data.yaml", b"- a list"),
        ("data.yaml", b"made: 2026-99-99"),
        ("other.yaml", b"made: 2026-99-99"),
        ("other.yaml", b"[" * 5000),
        ("a.json", b"\xff\xff"),
        ("train.csv", b"\xff\xff"),
    ],
)
def test_a_file_of_another_program_does_not_keep_a_format_from_being_recognised(
    cli, voc, tmp_path, name, content
):
    # With the list of classes a train.txt would make it Darknet's.
    (voc / "classes.txt").write_text("cat\ndog\n")
    (voc / name).parent.mkdir(exist_ok=True)
    (voc / name).write_bytes(content)
    outcome = cli("convert-data", "voc", "out")
    assert (outcome.status, outcome.err) == (0, "")
    assert len(rows_of(tmp_path / "out", "train")) == 2


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("made: 2026-99-99", "data.yaml: holds a value that YAML cannot read: month must be in 1..12"),
        ("names: [", "data.yaml: not YAML"),
        ("- a list", "data.yaml: must have the keys"),
    ],
)
def test_a_data_yaml_that_cannot_be_read_is_told_of_where_nothing_else_fits(cli, tmp_path, content, part):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "data.yaml").write_text(content)
    refused(cli("convert-data", "set", "out"), part)


@pytest.mark.parametrize("fmt", ["labelme", "via"])
def test_a_label_file_that_cannot_be_opened_is_not_left_out_in_silence(cli, one, fmt):
    root = one(fmt)
    (root / "b.json").write_text("{}")
    (root / "b.json").chmod(0)
    if os.access(root / "b.json", os.R_OK):
        pytest.skip("this user may read every file")
    refused(cli("convert-data", root, "out"), "b.json: cannot be read (Permission denied)")


@pytest.mark.parametrize("fmt", ["labelme", "via", "voc"])
def test_a_broken_link_is_not_left_out_in_silence(cli, one, tmp_path, fmt):
    root = one(fmt)
    (root / f"b{'.xml' if fmt == 'voc' else '.json'}").symlink_to(tmp_path / "gone")
    refused(cli("convert-data", root, "out"), "cannot be read (No such file or directory)")


def test_the_class_list_of_a_neighbour_is_not_that_of_the_data_set(cli, tmp_path, image):
    root = tmp_path / "all" / "official"
    image(root / "train" / "a.jpg")
    (root / "train-annotations-bbox.csv").write_text(CSV + "a,x,/m/1,1,0,1,0,1,0,0,0,0,0\n")
    (root / "class-descriptions-boxable.csv").write_text("/m/1,cat\n")
    (tmp_path / "all" / "metadata").mkdir()
    (tmp_path / "all" / "metadata" / "classes.csv").write_text("/m/1,whale\n")
    assert cli("convert-data", root, "out").status == 0
    assert rows_of(tmp_path / "out", "train") == [("a.jpg", "cat", [0, 0, 80, 60], 0)]


@pytest.mark.parametrize("fmt", ["voc", "openimages"])
def test_names_that_differ_in_case_alone_are_kept_apart_for_macos_and_windows(cli, tmp_path, fmt):
    root = write_set(tmp_path / "set", count=2)
    content = json.loads((root / "annotations" / "train.json").read_text())
    for row, name in zip(content["images"], ("x/A.jpg", "y/a.jpg")):
        (root / "train" / name).parent.mkdir()
        (root / "train" / row["file_name"]).rename(root / "train" / name)
        row["file_name"] = name
    (root / "annotations" / "train.json").write_text(json.dumps(content))
    assert cli("convert-data", "set", "out", "--to", fmt).status == 0
    names = {path.name for path in (tmp_path / "out").rglob("*_[aA].jpg")}
    assert names == ({"train_x_A.jpg", "train_y_a.jpg"} if fmt == "voc" else {"x_A.jpg", "y_a.jpg"})
