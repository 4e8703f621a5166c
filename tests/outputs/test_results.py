"""What a prediction writes, read back by the readers of its formats."""

import csv
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from small import picture

from gluon_ssd.data.formats.conversion import read_dataset
from gluon_ssd.detections import Detections
from gluon_ssd.errors import UserError
from gluon_ssd.outputs.coco import Numbering
from gluon_ssd.outputs.results import KINDS, Results
from gluon_ssd.outputs.shown import Shown

CLASSES = ("cat", "a/b")
BOXES = [[8, 4, 40, 28], [0, 0, 64, 48], [5.2, 5.2, 5.4, 30]]


def shown(path, frame=None, boxes=BOXES, **more):
    pixels = picture(64, 48)
    found = np.array(boxes, np.float32).reshape(-1, 4)
    labels = np.arange(len(found)) % 2
    detections = Detections(
        found, np.linspace(0.9, 0.5, len(found), dtype=np.float32), labels, CLASSES, pixels
    )
    name = path.stem if frame is None else f"{path.stem}_{frame:06}"
    seconds = None if frame is None else frame / 10
    return Shown(detections, pixels, path, name, path.name, frame, seconds, **more)


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(picture(64, 48)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def write(folder, kinds, *pictures):
    numbering = Numbering([Path("x.png")], SimpleNamespace(classes=CLASSES, category_ids=()), None)
    results = Results(folder, kinds, numbering)
    for number, each in enumerate(pictures, 1):
        results.write_files(each)
        results.add(each, number)
    results.close()
    return results


@pytest.mark.parametrize("kind", ["yolo", "labelme"])
def test_labels_are_a_data_set_of_the_pictures_as_they_are(photo, tmp_path, kind):
    clip = shown(Path("clip.mp4"), frame=3, boxes=BOXES[:1])
    write(
        tmp_path / "out",
        [kind],
        shown(photo, boxes=BOXES[:2]),
        clip,
        shown(photo.with_name("photo.png"), boxes=[]),
    )
    root = tmp_path / "out" / kind
    data = read_dataset(root, kind)
    by_name = {item.file.name: item for item in data.pictures()}
    assert sorted(by_name) == ["clip_000003.jpg", "photo.png"]
    assert (by_name["photo.png"].file).read_bytes() == photo.read_bytes()
    (box,) = by_name["clip_000003.jpg"].boxes
    assert data.classes[box.label] == "cat"
    assert box.xywh == pytest.approx((8, 4, 32, 24), abs=0.01)


@pytest.mark.parametrize("kind", ["yolo", "labelme"])
@pytest.mark.parametrize("name", ["photo", "photo.png.part"])
def test_a_picture_whose_name_is_no_images_gets_one_in_a_data_set(photo, tmp_path, kind, name):
    write(tmp_path / "out", [kind], shown(photo.rename(tmp_path / name)))
    (item,) = read_dataset(tmp_path / "out" / kind, kind).pictures()
    assert item.file.suffix == ".png" and len(item.boxes) == 3
    assert np.array_equal(np.asarray(Image.open(item.file)), picture(64, 48))


def test_crops_go_by_class_and_a_box_without_a_pixel_has_none(photo, tmp_path):
    write(tmp_path, ["crops"], shown(photo))
    found = {str(path.relative_to(tmp_path)): Image.open(path).size for path in tmp_path.rglob("crops/*/*")}
    assert found == {"crops/cat/photo_1.jpg": (32, 24), "crops/a_b/photo_2.jpg": (64, 48)}


def test_the_folder_of_crops_has_a_name_that_every_system_takes(photo, tmp_path):
    for number, name in enumerate(("x" * 300, "\u00e9" * 150, "..", "/a", "\x1b[2J")):
        one = shown(photo)
        write(tmp_path / str(number), ["crops"], replace(one, found=replace(one.found, classes=(name,) * 2)))
        assert len(list((tmp_path / str(number)).glob("crops/*/photo_*.jpg"))) == 2, name


def test_csv(photo, tmp_path):
    results = write(
        tmp_path, ["csv"], shown(photo), shown(Path("clip.mp4"), frame=3, boxes=BOXES[:1], tracks=(7,))
    )
    with open(tmp_path / "detections.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert results.count == len(rows) == 4
    assert (rows[0]["class"], rows[0]["score"], rows[0]["left"], rows[0]["frame"]) == (
        "cat",
        "0.90000",
        "8.00",
        "",
    )
    assert (rows[3]["file"], rows[3]["frame"], rows[3]["seconds"], rows[3]["track"]) == (
        "clip.mp4",
        "3",
        "0.300",
        "7",
    )


def test_json_of_images_and_frames(photo, tmp_path):
    write(tmp_path, ["json"], shown(photo), shown(Path("clip.mp4"), frame=3, boxes=[]))
    content = json.loads((tmp_path / "detections.json").read_text())
    assert [row["id"] for row in content["annotations"]] == [1, 2, 3]
    assert content["images"][1] == {
        "id": 2,
        "file_name": "clip.mp4",
        "width": 64,
        "height": 48,
        "frame": 3,
        "seconds": 0.3,
    }


def test_frames_are_annotated_in_their_video_not_one_by_one(photo, tmp_path):
    write(tmp_path / "out", ["images"], shown(photo), shown(Path("clip.mp4"), frame=3))
    assert [path.name for path in (tmp_path / "out/images").iterdir()] == ["photo.png"]


def test_nothing_of_a_file_shows_before_it_is_complete(photo, tmp_path):
    numbering = Numbering([], SimpleNamespace(classes=CLASSES, category_ids=()), None)
    results = Results(tmp_path / "out", ["csv", "json"], numbering)
    results.add(shown(photo), 1)
    assert not [path for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")]
    results.close()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["detections.csv", "detections.json"]


def test_the_command_offers_all_kinds():
    from gluon_ssd.cli import predict

    assert set(predict.KINDS) == set(KINDS)


def test_nothing_stays_of_a_table_where_another_file_cannot_be_written(photo, tmp_path):
    (tmp_path / "detections.json").mkdir()
    with pytest.raises(UserError, match="detections.json: cannot be written: Is a directory"):
        write(tmp_path, ["json", "csv"], shown(photo))
    assert [path.name for path in tmp_path.iterdir() if path != photo] == ["detections.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is full")
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_rows_that_the_disk_has_no_room_for_name_the_folder(photo, tmp_path, monkeypatch, kind):
    places = []

    def full(*given, **options):
        places.append(options["dir"])
        return open("/dev/full", "w+")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(UserError, match="out(/detections.json)?: cannot be written: No space left on device"):
        write(tmp_path / "out", [kind], shown(photo))
    assert set(places) == {tmp_path / "out"}
