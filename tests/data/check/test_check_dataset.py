"""``gluon-ssd check``: what it finds, at which level, and what it leaves behind."""

import json
import re
import shutil
import threading
from pathlib import Path

import pytest
from PIL import Image
from small import TRAIN, edit, files, picture, refused, sound, write_set
from terminal import on_a_terminal, screen

ERROR, WARNING, NOTE = "error", "warning", "note"


@pytest.mark.usefixtures("drawn_plots")
def test_a_sound_set_has_no_findings(whole_check, tmp_path):
    root = sound(tmp_path / "set")
    before = files(root)
    outcome, found = whole_check(root)
    assert (outcome.status, outcome.err, found) == (0, "", {})
    assert "train: 4 of 4 images usable, 4 objects of 2 classes" in outcome.out
    assert "fit to train on; report in report/report.html" in outcome.out
    assert files(root) == before
    expected = {f"{s}_{w}.png" for s in ("train", "val") for w in ("annotated", "classes", "sizes")}
    assert set(files(tmp_path / "report")) == expected | {
        "train_augmented.png",
        "report.html",
        "findings.json",
    }


@pytest.mark.parametrize("decode", [(), ("--decode",)])
def test_broken_files_are_errors(whole_check, tmp_path, decode):
    root = sound(tmp_path / "set", count=6)
    folder = root / "train"
    (folder / "1.jpg").unlink()
    (folder / "2.jpg").write_bytes(b"")
    (folder / "3.jpg").write_bytes((folder / "3.jpg").read_bytes()[:400])
    (folder / "4.jpg").write_bytes(b"no picture")
    Image.fromarray(picture(48, 64)).save(folder / "5.jpg")
    outcome, found = whole_check(root, *decode)
    assert outcome.status == 1
    assert found["train", "images missing"] == (ERROR, 1, ["1.jpg: no such file"])
    assert found["train", "images of 0 bytes"] == (ERROR, 1, ["2.jpg: 0 bytes"])
    level, count, items = found["train", "images corrupt"]
    assert (level, count) == (ERROR, 2)
    assert items == [
        "3.jpg: truncated (400 bytes)" if not decode else "3.jpg: the picture is truncated (400 bytes)",
        "4.jpg: not a picture that can be decoded",
    ]
    what = ("train", "images of another size than annotated")
    assert found[what] == (ERROR, 1, ["5.jpg: 48x64, annotated as 64x48"])
    assert "train: 1 of 6 images usable" in outcome.out
    assert "4 kind(s) of error would harm a training" in outcome.out


def test_of_a_missing_image_without_a_size_nothing_else_is_said(check, tmp_path, recwarn):
    root = sound(tmp_path / "set")
    edit(root, "train", lambda content: [row.pop("width") for row in content["images"]])
    (root / "train/2.jpg").unlink()
    _, found = check(root)
    assert [what for split, what in found if found[split, what][0] != NOTE] == ["images missing"]
    assert recwarn.list == []


def test_files_are_named_as_one_can_open_them_from_here(cli, tmp_path, monkeypatch):
    root = sound(tmp_path / "sets" / "mine")
    (root / "train" / "1.jpg").write_bytes(b"")
    shutil.copy(root / "train" / "2.jpg", root / "val" / "4.jpg")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    out = cli("check", "../sets/mine", "--model", "ssd_tiny", "--output", "report").out
    assert "1 images of 0 bytes: ../sets/mine/train/1.jpg: 0 bytes" in out
    assert "val ../sets/mine/val/4.jpg = train ../sets/mine/train/2.jpg" in out
    content = json.loads(Path("report/findings.json").read_text())
    assert content["relative_to"] == str(tmp_path / "here")
    assert f'<p class="path">{root}, against' in Path("report/report.html").read_text()


def test_doubles_and_pictures_of_both_splits(check, tmp_path):
    root = sound(tmp_path / "set")
    shutil.copy(root / "train" / "1.jpg", root / "train" / "3.jpg")
    shutil.copy(root / "train" / "2.jpg", root / "val" / "4.jpg")
    outcome, found = check(root)
    assert outcome.status == 0
    assert found == {
        ("train", "duplicate images"): (WARNING, 1, ["3.jpg = 1.jpg"]),
        ("", "images of val that are in train too"): (WARNING, 1, ["val 4.jpg = train 2.jpg"]),
    }


def test_a_file_listed_twice_is_a_double(check, tmp_path):
    root = sound(tmp_path / "set")
    edit(root, "val", lambda c: c["images"][1].update(file_name="1.jpg"))
    _, found = check(root)
    assert found["val", "duplicate images"] == (WARNING, 1, ["1.jpg = 1.jpg"])
    assert found["val", "images that no annotation file lists"] == (NOTE, 1, ["2.jpg"])


def test_files_that_nobody_lists(check, tmp_path):
    root = sound(tmp_path / "set")
    (root / "train" / "more").mkdir()
    for name in ("more/x.PNG", "notes.txt"):
        (root / "train" / name).write_bytes(b"")
    outcome, found = check(root)
    assert found == {("train", "images that no annotation file lists"): (NOTE, 1, ["more/x.PNG"])}
    assert outcome.status == 0


def test_both_splits_in_one_folder_list_each_others_images(check, tmp_path):
    root = sound(tmp_path / "set")
    edit(root, "train", lambda c: c.update(images=c["images"][:2], annotations=c["annotations"][:2]))
    edit(root, "val", lambda c: c.update(images=c["images"][2:], annotations=c["annotations"][2:]))
    _, found = check(root, "--val-images", "train")
    assert found == {}


def annotations(*boxes, **more):
    return [
        {"id": k, "image_id": k, "category_id": 1 + k % 2, "bbox": b, **more} for k, b in enumerate(boxes, 1)
    ]


def test_boxes_that_training_drops_or_clips(check, tmp_path):
    rows = annotations([0, 0, 40, 40], [0, 0, 0, 9], [70, 0, 9, 9], [30, 20, 60, 20])
    rows += [{**rows[0], "id": 9}]
    outcome, found = check(sound(tmp_path / "set", annotations=rows))
    for split in ("train", "val"):
        assert found[split, "boxes without width or height"][:2] == (WARNING, 1)
        assert found[split, "boxes outside the image"] == (
            WARNING,
            1,
            ["3.jpg: annotation 3, bbox [70, 0, 9, 9]"],
        )
        assert found[split, "boxes that reach over the border"][:2] == (NOTE, 1)
        assert found[split, "annotations given twice"] == (
            WARNING,
            1,
            ["1.jpg: annotation 9, bbox [0, 0, 40, 40]"],
        )
        assert found[split, "images without objects"] == (NOTE, 2, ["2.jpg", "3.jpg"])
    assert outcome.status == 0


def test_sizes_against_the_network(check, tmp_path):
    # In an input of 192 x 192 these are 3 x 4, 192 x 192, 180 x 8 and 96 x 96 pixels.
    rows = annotations([9, 9, 1, 1], [0, 0, 64, 48], [2, 2, 60, 2], [16, 12, 32, 24])
    _, found = check(sound(tmp_path / "set", annotations=rows))
    small = found["train", "objects narrower than 4 pixels of the input of ssd_tiny"]
    assert small == (NOTE, 1, ["1.jpg: 3.0 x 4.0"])
    lonely = found["train", "objects without an anchor of ssd_tiny above IoU 0.5"]
    assert lonely == (NOTE, 2, ["1.jpg: 3.0 x 4.0", "3.jpg: 180.0 x 8.0"])
    rows[3]["bbox"] = [9, 9, 1, 1]
    shutil.rmtree(tmp_path / "set")
    _, found = check(sound(tmp_path / "set", annotations=rows))
    assert found["train", "objects without an anchor of ssd_tiny above IoU 0.5"][:2] == (WARNING, 3)


def test_no_object_at_all_is_an_error(check, tmp_path):
    outcome, found = check(sound(tmp_path / "set", annotations=[]))
    assert outcome.status == 1
    assert found["train", "no object to learn from"][0] == ERROR
    crowds = annotations(*4 * [[0, 0, 40, 40]], iscrowd=1)
    shutil.rmtree(tmp_path / "set")
    outcome, found = check(sound(tmp_path / "set", annotations=crowds))
    assert outcome.status == 1
    assert found["train", "images with crowd regions only"][:2] == (NOTE, 4)


def test_a_validation_split_without_any_object_is_warned_of(check, tmp_path):
    root = sound(tmp_path / "set")
    edit(root, "val", lambda c: c.update(annotations=[]))
    outcome, found = check(root)
    assert outcome.status == 0
    assert found["val", "no object to score"] == (WARNING, 1, ["every image"])


def test_classes_that_differ(check, cli, tmp_path):
    root = sound(tmp_path / "set", categories=[{"id": k, "name": n} for k, n in enumerate("abc", 1)])
    _, found = check(root)
    assert found == {
        ("train", "classes without an object"): (WARNING, 1, ["c"]),
        ("val", "classes without an object"): (NOTE, 1, ["c"]),
    }
    edit(root, "val", lambda c: c["categories"].append({"id": 9, "name": "d"}))
    outcome, found = check(root)
    assert outcome.status == 0 and found["val", "classes that training lacks"] == (WARNING, 1, ["d"])
    edit(root, "val", lambda c: c["categories"].pop(2))
    outcome, found = check(root)
    assert outcome.status == 0 and found["val", "classes of training missing"] == (NOTE, 1, ["c"])
    outcome = cli(*TRAIN, "--data", root)
    assert outcome.status == 0 and "has no class 'c'" in outcome.out


def test_classes_are_matched_by_name_not_by_id(check, tmp_path):
    root = sound(tmp_path / "set")
    edit(root, "val", lambda c: [row.update(id=3 - row["id"]) for row in c["categories"]])
    _, found = check(root)
    assert found == {}


def test_an_unsound_annotation_file_is_checked_all_the_same(check, cli, tmp_path):
    root = sound(tmp_path / "set")

    def spoil(content):
        rows = content["annotations"]
        extra = [
            {**rows[0], "id": 11, "image_id": 99},
            {**rows[0], "id": 12, "category_id": 99},
            {**rows[0], "id": 13, "bbox": [0, 0, float("nan"), 1]},
            {**rows[0], "id": 14, "bbox": "0 0 9 9"},
            {**rows[0], "id": 15, "bbox": [0, 0, 10**400, 9]},
            {**rows[0], "id": 16, "area": "large"},
            {**rows[0], "id": 2},
            {"id": None, "bbox": 3 * [0]},
        ]
        content["annotations"] = rows + extra
        content["images"] += [{"id": 1, "file_name": "5.jpg", "width": 9, "height": 9}, {"id": 7}]
        content["categories"] += [{"id": 1, "name": "bird"}, {"id": 8, "name": "cat"}, {"id": 9, "name": 5}]

    edit(root, "train", spoil)
    outcome, found = check(root)
    assert outcome.status == 1
    kinds = {
        "image entries incomplete": 1,
        "image ids used again": 1,
        "category entries incomplete": 1,
        "category ids used again": 1,
        "categories of the same name as another, taken as one": 1,
        "annotations without integer ids": 1,
        "annotation ids used again": 1,
        "annotations of unknown images": 1,
        "annotations of unknown categories": 1,
        "boxes that are not four numbers": 3,
        "areas that are not numbers": 1,
    }
    assert {what: count for (_, what), (_, count, _) in found.items()} == kinds
    assert {level for level, _, _ in found.values()} == {ERROR, NOTE}
    assert found["train", "annotations of unknown images"][2] == [
        "annotations: id 11, image_id 99, category_id 2, bbox [0, 0, 64, 48]"
    ]
    assert cli(*TRAIN, "--data", root).status == 2


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("gone",), ["data folder gone does not exist"]),
        (("set", "--model", "ssd_tinny"), ["unknown model 'ssd_tinny'", "ssd_tiny"]),
        (("set", "--model", "resnet18"), ["resnet18 is a backbone"]),
        (("set", "--val-annotation", "gone.json"), ["gone.json: an annotation file is expected"]),
        (("set", "--output", "set/annotations/train.json"), ["choose another --output"]),
        (("set", "--workers", "0"), ["--workers", "at least 1"]),
        (("bad",), ["annotations/train.json: not JSON"]),
        (("list",), ["annotations/train.json: lacks the key 'images'"]),
    ],
)
def test_mistakes(cli, tmp_path, arguments, parts):
    for name, text in (("set", None), ("bad", "{"), ("list", "[]")):
        root = write_set(tmp_path / name, count=1)
        if text:
            (root / "annotations" / "train.json").write_text(text)
    refused(cli("check", *arguments), *parts)
    assert not (tmp_path / "runs").exists()


def test_a_file_whose_ids_are_all_texts_is_refused_for_that_reason(cli, tmp_path):
    root = write_set(tmp_path / "set", count=1)
    edit(root, "train", lambda c: [row.update(id=str(row["id"])) for row in c["images"]])
    refused(cli("check", root), "annotations/train.json: images[0] has id '1'; it must be an integer")


def test_class_names_that_the_font_lacks_make_no_noise(whole_check, tmp_path, recwarn):
    root = sound(tmp_path / "set", categories=[{"id": 1, "name": "猫"}, {"id": 2, "name": "dog"}])
    outcome, _ = whole_check(root)
    assert (outcome.status, outcome.err) == (0, "")
    assert not [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)]


def test_without_validation_annotations_training_is_checked_alone(check, tmp_path):
    root = sound(tmp_path / "set")
    (root / "annotations" / "val.json").unlink()
    outcome, found = check(root)
    assert (outcome.status, found) == (0, {})
    assert "no validation annotations found" in outcome.out
    assert not (tmp_path / "report" / "val_annotated.png").exists()


def test_the_report_goes_beside_earlier_ones(cli, tmp_path):
    root = sound(tmp_path / "set")
    for number in (1, 2):
        assert cli("check", root, "--model", "ssd_tiny").status == 0
        assert (tmp_path / "runs" / f"check-{number}" / "report.html").is_file()


def test_names_cannot_break_the_page(check, tmp_path):
    name = "<img src=x onerror=alert(1)> \ud800.jpg"
    root = sound(tmp_path / "set", categories=[{"id": 1, "name": "<b>&"}, {"id": 2, "name": "dog"}])
    edit(root, "train", lambda c: c["images"][0].update(file_name=name))
    outcome, found = check(root)
    assert found["train", "images missing"][:2] == (ERROR, 1) and outcome.status == 1
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<img src=x" not in page and "<b>" not in page
    assert (
        "&lt;img src=x onerror=alert(1)&gt; ?.jpg: no name that a file can have" in page
        and "&lt;b&gt;&amp;" in page
    )


def test_the_page_shows_the_pictures_beside_it(whole_check, tmp_path):
    whole_check(sound(tmp_path / "set"))
    page = (tmp_path / "report" / "report.html").read_text()
    shown = re.findall(r'src="([^"]+)"', page)
    assert sorted(shown) == sorted(path.name for path in (tmp_path / "report").glob("*.png"))
    assert "http" not in page
    sheet = Image.open(tmp_path / "report" / "train_augmented.png")
    assert sheet.size[0] > 1000


def test_a_retinanet_is_shown_mirrored_pictures_of_its_own_size(cli, tmp_path):
    root = sound(tmp_path / "set")
    outcome = cli("check", root, "--model", "retinanet_resnet50", "--output", "report")
    assert outcome.status == 0
    assert "retinanet_resnet50" in (tmp_path / "report" / "report.html").read_text()


def test_coco128(cli, coco128, tmp_path):
    outcome = cli("check", coco128, "--output", "report", "--decode")
    assert outcome.status == 0
    assert "train: 128 of 128 images usable, 929 objects of 71 classes" in outcome.out
    assert "368 objects without an anchor of ssd_resnet34 above IoU 0.5" in outcome.out


def test_one_file_by_two_ways_is_one_file(check, tmp_path):
    """As convert-data writes it: names that lead out of the image folder, here through a link."""
    root = sound(tmp_path / "set")
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (root / "train").rename(tmp_path / "elsewhere" / "deep" / "pictures")
    (root / "train").symlink_to(tmp_path / "elsewhere" / "deep" / "pictures")
    (tmp_path / "elsewhere" / "more").mkdir()
    (tmp_path / "elsewhere" / "deep" / "pictures" / "1.jpg").rename(tmp_path / "elsewhere" / "deep" / "1.jpg")
    edit(root, "train", lambda c: c["images"][0].update(file_name="../1.jpg"))
    edit(root, "train", lambda c: c["images"][1].update(file_name="./2.jpg"))
    outcome, found = check(root)
    assert found == {}
    assert "train: 4 of 4 images usable" in outcome.out


def test_a_terminal_shows_how_far_the_check_is(tmp_path):
    sound(tmp_path / "set")
    program = (
        "from gluon_ssd.cli import main; main(['check', 'set', '--model', 'ssd_tiny', '--output', 'out'])"
    )
    text = on_a_terminal(program, tmp_path)
    assert "looking at images" in text and "comparing images" in text and "8/8" in text
    assert screen(text)[0] == "train: 4 of 4 images usable, 4 objects of 2 classes"


def test_ctrl_c_leaves_no_thread_and_no_report(cli, tmp_path, monkeypatch):
    seen = []

    def advance(self, count):
        seen.append(count)
        if len(seen) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("gluon_ssd.console.Console.advance", advance)
    before = set(threading.enumerate())
    outcome = cli("check", sound(tmp_path / "set"), "--model", "ssd_tiny")
    assert (outcome.status, outcome.err) == (130, "interrupted\n")
    assert set(threading.enumerate()) <= before
    assert not (tmp_path / "runs").exists()


def test_nothing_to_show_is_shown(whole_check, tmp_path):
    """No object and no readable picture, many classes: every picture of the report is made all the same."""
    names = [{"id": k, "name": f"class {k} with a long name that nobody can read"} for k in range(1, 301)]
    root = write_set(tmp_path / "set", annotations=[], categories=names)
    for path in root.rglob("*.jpg"):
        path.write_bytes(b"")
    outcome, found = whole_check(root)
    assert outcome.status == 1 and found["val", "images of 0 bytes"][:2] == (ERROR, 4)
    assert len(list((tmp_path / "report").glob("*.png"))) == 7
    page = (tmp_path / "report" / "report.html").read_text()
    assert "class 300 with" in page and "and 250 more" in page
