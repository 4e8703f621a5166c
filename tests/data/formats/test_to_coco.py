"""From VOC, YOLO and OpenImages to COCO, with coordinates worked out by hand."""

import json
import shutil

import pytest
from label_files import CSV, rows_of, voc_xml
from terminal import on_a_terminal, screen

from gluon_ssd.data.formats import conversion
from gluon_ssd.data.formats.model import Options
from gluon_ssd.data.opening import open_dataset


def test_voc_pixels_are_counted_from_1_with_both_ends_included(cli, voc, tmp_path):
    result = cli("convert-data", "voc", "out")
    assert (result.status, result.err) == (0, "")
    # All of an image of 80 x 60, 20 x 30 pixels from the 11th and 21st, and a single pixel.
    assert rows_of(tmp_path / "out", "train") == [
        ("a.jpg", "cat", [0, 0, 80, 60], 0),
        ("a.jpg", "dog", [10, 20, 20, 30], 0),
    ]
    assert rows_of(tmp_path / "out", "val") == [("b.jpg", "cat", [4, 6, 1, 1], 0)]
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[1:3] == [["train", "1", "0", "2", "0"], ["val", "1", "0", "1", "0"]]
    assert result.out.splitlines()[3:] == [
        "classes: 2 (cat, dog)",
        "objects marked difficult, kept as the others: 1",
        "out",
    ]


def test_voc_annotations_and_images_in_sub_folders(cli, image, tmp_path):
    root = tmp_path / "Annotations" / "voc"
    for folder, side in (("x", 2), ("y", 3)):
        image(root / "JPEGImages" / folder / "a.jpg")
        (root / "Annotations" / folder).mkdir(parents=True)
        text = voc_xml(("cat", (1, 1, side, side)), extra="<segmented>1</segmented>")
        (root / "Annotations" / folder / "a.xml").write_text(text)
    out = cli("convert-data", root, "out", "--images", "copy").out
    assert "\nimages with segmentation, of which only the boxes are read: 2\n" in out
    records = open_dataset(tmp_path / "out", "train").records
    assert [(r.path.parent.name, r.boxes.tolist()) for r in records] == [
        ("x", [[0, 0, 2, 2]]),
        ("y", [[0, 0, 3, 3]]),
    ]


def test_voc_files_counted_from_0_are_taken_as_they_stand(cli, voc, tmp_path):
    assert cli("convert-data", "voc", "out", "--origin", 0).status == 0
    assert rows_of(tmp_path / "out", "train")[1] == ("a.jpg", "dog", [11, 21, 19, 29], 0)


def test_fractions_have_no_first_pixel(cli, voc, yolo, tmp_path):
    (voc / "Annotations" / "a.xml").write_text(voc_xml(("cat", (0.25, 0.5, 0.5, 1.0))))
    (voc / "Annotations" / "b.xml").write_text(voc_xml(("cat", (0.0, 0.0, 1.0, 1.0)), name="b.jpg"))
    assert cli("convert-data", "voc", "out", "--boxes", "xyxyn").status == 0
    assert rows_of(tmp_path / "out", "train") == [("a.jpg", "cat", [20, 30, 20, 30], 0)]
    assert cli("convert-data", "yolo", "more", "--origin", 1).status == 0
    assert rows_of(tmp_path / "more", "val") == [("a.jpg", "zebra", [20, 0, 40, 30], 0)]


def test_widths_stay_where_pixels_are_counted_from_1(cli, image, tmp_path):
    image(tmp_path / "set" / "a.jpg")
    rows = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 80, "height": 60}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [11, 21, 20.1, 30.3]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "set" / "train.json").write_text(json.dumps(rows))
    assert cli("convert-data", "set", "out", "--origin", 1).status == 0
    assert rows_of(tmp_path / "out", "train") == [("a.jpg", "cat", [10, 20, 20.1, 30.3], 0)]


def test_voc_files_in_capitals_among_others_are_found_by_the_lists(cli, voc, tmp_path):
    (voc / "Annotations" / "b.xml").rename(voc / "Annotations" / "b.XML")
    assert cli("convert-data", "voc", "out").status == 0
    assert [row[0] for row in rows_of(tmp_path / "out", "val")] == ["b.jpg"]


@pytest.mark.parametrize(("choice", "crowd"), [("crowd", [0, 1]), ("drop", [0])])
def test_difficult_objects_become_crowd_or_go(cli, voc, tmp_path, choice, crowd):
    assert "\nobjects marked difficult, " in cli("convert-data", "voc", "out", "--difficult", choice).out
    assert [row[3] for row in rows_of(tmp_path / "out", "train")] == crowd


def test_voc_boxes_over_the_border_are_clipped_and_told_of(cli, voc, tmp_path):
    objects = ("cat", (0, 0, 90, 30)), ("dog", (100, 1, 120, 9)), ("dog", (9, 9, 4, 20))
    (voc / "Annotations" / "a.xml").write_text(voc_xml(*objects, size=(100, 60)))
    out = cli("convert-data", "voc", "out").out
    assert rows_of(tmp_path / "out", "train") == [("a.jpg", "cat", [0, 0, 80, 30], 0)]
    assert "\nboxes over the image's border, clipped: 1\n" in out
    assert "\nboxes without area inside the image, left out: 2\n" in out
    assert (
        "\nwarning: images whose annotation gives another size than the file has; the file's is taken" in out
    )
    assert "\nwarning: 1 boxes begin at pixel 0, which files that count from 1 cannot have; if " in out


def test_voc_xml_beside_the_images_in_train_and_val(cli, image, tmp_path):
    for split in ("train", "valid"):
        image(tmp_path / "flat" / split / "x.png")
        (tmp_path / "flat" / split / "x.xml").write_text(voc_xml(("cat", (2, 3, 4, 6)), name="was.jpg"))
    image(tmp_path / "flat" / "train" / "unlabelled.png")
    out = cli("convert-data", "flat", "out").out
    assert rows_of(tmp_path / "out", "val") == [("x.png", "cat", [1, 2, 3, 4], 0)]
    assert "\nimages without a label file, left out: 1\n" in out


def test_voc_images_of_one_stem_are_told_apart_by_the_filename(cli, voc, image, tmp_path):
    image(voc / "JPEGImages" / "a.png")
    assert cli("convert-data", "voc", "out").status == 0
    assert [row[0] for row in rows_of(tmp_path / "out", "train")] == ["a.jpg", "a.jpg"]


def test_voc_size_0_is_replaced_by_the_images(cli, voc, tmp_path):
    (voc / "Annotations" / "a.xml").write_text(voc_xml(("cat", (1, 1, 2, 2)), size=(0, 0)))
    assert (
        "\nimages whose annotation gives no size; the file's is taken: 1\n"
        in cli("convert-data", "voc", "out").out
    )
    image = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())["images"][0]
    assert (image["width"], image["height"]) == (80, 60)


def test_voc_class_order_is_that_of_classes_txt(cli, voc, tmp_path):
    (voc / "classes.txt").write_text("dog\nyak\ncat\n")
    assert "classes: 3 (dog, yak, cat)" in cli("convert-data", "voc", "out").out


def test_yolo_fractions_become_pixels(cli, yolo, tmp_path):
    result = cli("convert-data", "yolo", "out")
    assert (result.status, result.err) == (0, "")
    # Centre 20, width 10 of 80; centre 30, height 12 of 60.
    assert rows_of(tmp_path / "out", "train") == [
        ("a.jpg", "cat", [0, 0, 80, 60], 0),
        ("a.jpg", "ant", [15, 24, 10, 12], 0),
    ]
    assert rows_of(tmp_path / "out", "val") == [("a.jpg", "zebra", [20, 0, 40, 30], 0)]
    assert "classes: 3 (zebra, cat, ant)" in result.out
    data = open_dataset(tmp_path / "out", "train")
    assert data.classes == ("zebra", "cat", "ant")
    assert [len(record.boxes) for record in data.records] == [2, 0]


def test_yolo_labels_beside_images_below_a_folder_called_images(cli, image, tmp_path):
    root = tmp_path / "images" / "mine"
    image(root / "a.jpg")
    (root / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (root / "classes.txt").write_text("cat\n")
    assert cli("convert-data", root, "out", "--from", "yolo").status == 0
    assert rows_of(tmp_path / "out", "train") == [("a.jpg", "cat", [20, 15, 40, 30], 0)]


def test_a_json_file_of_another_tool_is_not_taken_for_coco(cli, yolo, tmp_path):
    (yolo / "notes.json").write_text('{"categories": [], "info": {}}')
    assert cli("convert-data", "yolo", "out").status == 0
    assert len(rows_of(tmp_path / "out", "train")) == 2


def test_a_coco_file_by_itself(cli, image, tmp_path):
    image(tmp_path / "set" / "images" / "a.jpg")
    content = {
        "images": [{"id": 5, "file_name": "a.jpg", "width": 80, "height": 60}],
        "annotations": [{"id": 9, "image_id": 5, "category_id": 4, "bbox": [-3, 1, 7, 2]}],
        "categories": [{"id": 4, "name": "cat"}],
    }
    (tmp_path / "set" / "labels.json").write_text(json.dumps(content))
    for source, out in (("set", "one"), ("set/labels.json", "two")):
        assert "\nboxes over the image's border, clipped: 1\n" in cli("convert-data", source, out).out
        assert rows_of(tmp_path / out, "train") == [("a.jpg", "cat", [0, 1, 4, 2], 0)]


def test_yolo_polygons_become_their_boxes(cli, yolo, tmp_path):
    (yolo / "labels" / "val" / "a.txt").write_text("0 0.25 0.5 0.5 0.1 0.75 0.9\n")
    assert "\noutlines (masks), of which only the box is kept: 1\n" in cli("convert-data", "yolo", "out").out
    assert rows_of(tmp_path / "out", "val") == [("a.jpg", "zebra", [20, 6, 40, 48], 0)]


def test_yolo_keypoints_behind_a_box_are_no_polygon(cli, yolo, tmp_path):
    with open(yolo / "data.yaml", "a") as stream:
        stream.write("kpt_shape: [2, 3]\n")
    (yolo / "labels" / "train" / "a.txt").write_text("1 0.5 0.5 0.25 0.5 0.1 0.1 1 0.9 0.9 2\n")
    out = cli("convert-data", "yolo", "out").out
    assert "\nobjects with keypoints, of which only the box is kept: 1\n" in out
    assert rows_of(tmp_path / "out", "train") == [("a.jpg", "cat", [30, 15, 20, 30], 0)]


@pytest.mark.parametrize(("fmt", "file"), [("yolo", "labels/train/._a.txt"), ("voc", "Annotations/._a.xml")])
def test_the_hidden_files_of_macos_are_no_labels(cli, request, tmp_path, fmt, file):
    root = request.getfixturevalue(fmt)
    (root / file).write_bytes(b"\0\5\x16\7")
    if fmt == "voc":
        (root / "ImageSets" / "Main" / "train.txt").unlink()
        (root / "ImageSets" / "Main" / "val.txt").unlink()
    assert cli("convert-data", fmt, "out").status == 0


def test_voc_lists_of_one_class_have_a_mark_behind_the_name(cli, voc, tmp_path):
    (voc / "ImageSets" / "Main" / "train.txt").write_text("a  1\r\n")
    assert cli("convert-data", "voc", "out").status == 0
    assert {row[0] for row in rows_of(tmp_path / "out", "train")} == {"a.jpg"}


def test_yolo_noise_of_short_fractions_is_no_clipping(cli, yolo, tmp_path):
    # A sixth of 60 pixels in six digits; the sum reaches 0.0000010 over the border.
    (yolo / "labels" / "val" / "a.txt").write_text("0 0.9166670 0.5 0.166668 0.333333\n")
    out = cli("convert-data", "yolo", "out").out
    assert "clipped" not in out
    assert rows_of(tmp_path / "out", "val")[0][2] == pytest.approx([66.66664, 20.0, 13.33336, 20.0], abs=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: zebra\n  1: cat\n  2: ant\n",
        "train: ../images/train\nval: ../images/val\nnc: 3\nnames: [zebra, cat, ant]\n",
        "train: images\\train\r\nval: ..\\images\\val\r\nnames: [zebra, cat, ant]\r\n",
    ],
)
def test_yolo_data_yaml_as_different_tools_write_it(cli, yolo, tmp_path, config):
    (yolo / "data.yaml").write_text(config)
    assert "classes: 3 (zebra, cat, ant)" in cli("convert-data", "yolo/data.yaml", "out").out
    assert len(rows_of(tmp_path / "out", "train")) == 2


def test_yolo_without_yaml(cli, yolo, tmp_path):
    (yolo / "data.yaml").unlink()
    assert cli("convert-data", "yolo", "one", "--classes", "x", "y", "z").status == 0
    (yolo / "classes.txt").write_text("zebra\ncat\nant\n")
    assert cli("convert-data", "yolo", "two", "--classes", "ant", "cat").status == 0
    assert [row[1] for row in rows_of(tmp_path / "one", "train")] == ["y", "z"]
    assert open_dataset(tmp_path / "two", "train").classes == ("ant", "cat")
    shutil.rmtree(yolo / "images" / "val")
    shutil.rmtree(yolo / "labels" / "val")
    result = cli("convert-data", "yolo", "three", "--val-share", 0.5)
    assert sorted(p.name for p in (tmp_path / "three" / "annotations").iterdir()) == [
        "instances_train.json",
        "instances_val.json",
    ]
    assert [line.split()[:2] for line in result.out.splitlines()[1:3]] == [["train", "1"], ["val", "1"]]


def test_openimages_fractions_groups_and_flags(cli, openimages, tmp_path):
    result = cli("convert-data", "open", "out")
    assert (result.status, result.err) == (0, "")
    assert rows_of(tmp_path / "out", "train") == [
        ("a.jpg", "cat", [0, 15, 40, 30], 1),
        ("a.jpg", "dog", [8, 30, 8, 30], 0),
    ]
    assert rows_of(tmp_path / "out", "val") == [("b.jpg", "dog", [20, 0, 40, 60], 0)]
    assert "classes: 2 (dog, cat)" in result.out
    rows = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())["annotations"]
    assert rows[0]["truncated"] == 1 and "occluded" not in rows[0]


def test_openimages_files_under_their_official_names(cli, image, tmp_path):
    root = tmp_path / "official"
    image(root / "train" / "a.jpg")
    image(root / "train" / "empty.jpg")
    (root / "oidv6-train-annotations-bbox.csv").write_text(CSV + "a,x,/m/1,1,0,1,0,1,0,0,0,0,0\n")
    (root / "class-descriptions-boxable.csv").write_text('LabelName,DisplayName\n/m/1,"Cat, small"\n')
    assert (
        "\nimages that the CSV does not name, kept as images without objects: 1"
        in cli("convert-data", root, "out").out
    )
    assert rows_of(tmp_path / "out", "train") == [("a.jpg", "Cat, small", [0, 0, 80, 60], 0)]


@pytest.mark.parametrize("mode", ["none", "link", "copy"])
@pytest.mark.parametrize("name", ["voc", "yolo", "openimages"])
def test_the_result_opens_for_training(cli, request, tmp_path, name, mode):
    source = request.getfixturevalue(name)
    assert cli("convert-data", source, "deep/out", "--images", mode).status == 0
    for split in ("train", "val"):
        data = open_dataset(tmp_path / "deep" / "out", split)
        assert all(record.path.is_file() for record in data.records)
        links = [record.path.is_symlink() for record in data.records]
        assert links == [mode == "link"] * len(links)
        assert all((".." in str(record.path)) == (mode == "none") for record in data.records)


def test_chosen_classes_keep_the_callers_order_and_count_what_goes(cli, voc, tmp_path):
    out = cli("convert-data", "voc", "out", "--classes", "dog").out
    assert "classes: 1 (dog)" in out
    assert "\nboxes of classes that were not chosen, left out: 2\n" in out
    assert rows_of(tmp_path / "out", "train") == [("a.jpg", "dog", [10, 20, 20, 30], 0)]


def test_the_validation_share_is_the_same_after_images_were_added(cli, image, tmp_path):
    def held(count):
        for number in range(count):
            image(tmp_path / "set" / "images" / f"{number}.jpg", 8, 6)
            (tmp_path / "set" / "labels").mkdir(exist_ok=True)
            (tmp_path / "set" / "labels" / f"{number}.txt").write_text("")
        (tmp_path / "set" / "classes.txt").write_text("cat\n")
        out = f"out{count}"
        assert cli("convert-data", "set", out, "--from", "yolo", "--val-share", 0.25).status == 0
        return {record.path.name for record in open_dataset(tmp_path / out, "val").records}

    few, many = held(20), held(24)
    assert (len(few), len(many)) == (5, 6)
    assert len(few & many) >= 4


def test_names_that_the_terminal_cannot_show_are_spelt_out(python, yolo):
    (yolo / "data.yaml").write_text(
        "train: images/train\nval: images/val\nnames: [K\u00e4fer, dog, ant]\n", "utf-8"
    )
    code = f"from gluon_ssd.cli import main; raise SystemExit(main(['convert-data', {str(yolo)!r}, 'new']))"
    outcome = python(code, PYTHONIOENCODING="ascii")
    assert (outcome.status, outcome.err) == (0, "")
    assert "classes: 3 (K\\xe4fer, dog, ant)" in outcome.out


class Stages:
    """Progress that notes each stretch: its title, how long it was to be, how far it came."""

    def __init__(self):
        self.seen = []

    def start(self, title, total):
        self.seen.append([title, total, 0])

    def advance(self, count):
        self.seen[-1][2] += count

    def stop(self):
        self.seen.append("stopped")


@pytest.mark.parametrize("target", ["coco", "voc", "yolo", "openimages"])
def test_every_image_read_and_written_is_told_of(tmp_path, voc, yolo, openimages, target):
    conversion.convert_data(yolo, tmp_path / "from coco")
    for source, train, val in ((voc, 1, 1), (yolo, 2, 1), (openimages, 1, 1), (tmp_path / "from coco", 2, 1)):
        stages = Stages()
        out = tmp_path / f"{source.name} to {target}"
        conversion.convert_data(source, out, target_format=target, options=Options(progress=stages))
        total = train + val
        expected = [["reading train", train, train], ["reading val", val, val]]
        assert stages.seen[::2] == [*expected, [f"writing {target}", total, total]], source
        assert stages.seen[1::2] == ["stopped"] * 3


def test_a_terminal_shows_a_bar_while_converting_and_takes_it_away(yolo, tmp_path):
    program = "from gluon_ssd.cli import main; main(['convert-data', 'yolo', 'out', '--to', 'voc'])"
    text = on_a_terminal(program, tmp_path)
    assert "reading train" in text and "writing voc" in text
    left = screen(text)
    assert left[0].split() == ["split", "images", "without", "objects", "boxes", "crowd"]
    assert left[-1] == "out"
