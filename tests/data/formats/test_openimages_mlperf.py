"""MLPerf's subset of OpenImages: the COCO file against literal numbers, and fetching its images."""

import json
import os

import pytest
from label_files import CSV
from range_server import RangeServer

from gluon_ssd.data.formats.fetch_images import fetch_images
from gluon_ssd.data.formats.openimages_mlperf import image_ids, wanted_labels, write_mlperf_json
from gluon_ssd.data.openimages_names import OPENIMAGES_MLPERF_CLASSES
from gluon_ssd.data.opening import open_dataset
from gluon_ssd.errors import UserError

# A zebra (262) group in c, an unknown class in d, an airplane (0) in c again, one with unknown flags in a.
ROWS = (
    "c,x,/m/z,1,0.25,0.75,0.1,0.9,0,1,1,0,0\n"
    "d,x,/m/other,1,0,1,0,1,0,0,0,0,0\n"
    "c,x,/m/a,1,0,0.5,0,0.5,1,0,0,0,0\n"
    "a,x,/m/a,1,0.1,0.2,0.3,0.6,-1,-1,-1,-1,-1\n"
    "c,x,/m/other,1,0,1,0,1,0,0,0,0,0\n"
)


@pytest.fixture
def train(tmp_path, image):
    """A folder train/ with CSV files in which the classes stand in another order, and images of two sizes."""
    root = tmp_path / "set" / "train"
    for folder in ("labels", "metadata"):
        (root / folder).mkdir(parents=True)
    (root / "labels" / "detections.csv").write_text(CSV + ROWS)
    special = {"Airplane": "/m/a", "Zebra": "/m/z"}
    names = [*sorted(OPENIMAGES_MLPERF_CLASSES, reverse=True), "Other"]
    lines = [f"{special.get(n, '/m/' + n.lower())},{n}\n" for n in names]
    (root / "metadata" / "classes.csv").write_text("".join(lines))
    image(root / "data" / "a.jpg", 100, 50)
    image(root / "data" / "c.jpg", 80, 60)
    return root


def write(train, name="labels/openimages-mlperf.json"):
    files = train / "labels" / "detections.csv", train / "metadata" / "classes.csv"
    assert image_ids(*files) == ["a", "c"]
    return write_mlperf_json(*files, train / "data", train / name)


def test_the_published_files_images_categories_and_annotations(train):
    assert write(train) == (2, 3)
    content = json.loads((train / "labels" / "openimages-mlperf.json").read_text())
    assert list(content) == ["info", "licenses", "categories", "images", "annotations"]
    assert len(content["categories"]) == 264
    assert content["categories"][0] == {"id": 0, "name": "Airplane", "supercategory": None}
    assert content["categories"][262] == {"id": 262, "name": "Zebra", "supercategory": None}
    rest = {"license": None, "coco_url": None}
    assert content["images"] == [
        {"id": 1, "file_name": "a.jpg", "height": 50, "width": 100, **rest},
        {"id": 2, "file_name": "c.jpg", "height": 60, "width": 80, **rest},
    ]
    names = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
    yes, no = True, False
    # Products as they round: (0.9 - 0.1) * 60 is 48, (0.6 - 0.3) * 50 is 15.
    assert content["annotations"] == [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 0,
            "bbox": [10.0, 15.0, 10.0, 15.0],
            "area": 150.0,
            **dict.fromkeys(names, yes),
            "iscrowd": 1,
        },
        {
            "id": 2,
            "image_id": 2,
            "category_id": 262,
            "bbox": [20.0, 6.0, 40.0, 48.0],
            "area": 1920.0,
            **dict(zip(names, (no, yes, yes, no, no))),
            "iscrowd": 1,
        },
        {
            "id": 3,
            "image_id": 2,
            "category_id": 0,
            "bbox": [0.0, 0.0, 40.0, 30.0],
            "area": 1200.0,
            **dict(zip(names, (yes, no, no, no, no))),
            "iscrowd": 0,
        },
    ]


def test_training_opens_the_published_layout(train):
    write(train)
    train.rename(train.with_name("validation"))
    data = open_dataset(train.parent, "val")
    assert data.classes == OPENIMAGES_MLPERF_CLASSES
    assert data.category_ids == tuple(range(264))
    assert [record.path.name for record in data.records] == ["a.jpg", "c.jpg"]
    assert data.records[1].crowd.tolist() == [True, False]


def test_the_published_layout_converts(cli, train, tmp_path):
    write(train)
    assert cli("convert-data", "set", "out", "--from", "coco", "--to", "yolo").status == 0
    assert (tmp_path / "out" / "labels" / "train" / "c.txt").read_text() == "0 0.25 0.25 0.5 0.5\n"


def test_classes_that_are_not_described_are_told_of(train):
    (train / "metadata" / "classes.csv").write_text("/m/a,Airplane\n")
    with pytest.raises(UserError, match="classes.csv: lacks 263 classes, first 'Antelope'"):
        wanted_labels(train / "metadata" / "classes.csv")


def test_missing_images_and_columns_are_told_of_and_nothing_is_written(train):
    (train / "data" / "c.jpg").unlink()
    message = f"detections.csv: 1 of 2 images are missing, first {train / 'data' / 'c.jpg'};"
    with pytest.raises(UserError, match=message):
        write(train)
    lines = [",".join(line.split(",")[:11]) for line in (CSV + ROWS).splitlines()]
    (train / "labels" / "detections.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="line 1 lacks the column 'IsDepiction'"):
        write(train)
    assert [path.name for path in (train / "labels").iterdir()] == ["detections.csv"]


@pytest.fixture
def server(tmp_path):
    (tmp_path / "web" / "train").mkdir(parents=True)
    for number in range(40):
        (tmp_path / "web" / "train" / f"{number}.jpg").write_bytes(bytes([number]) * 1000)
    with RangeServer(tmp_path / "web") as running:
        yield running


NAMES = [f"{number}.jpg" for number in range(40)]


def test_images_are_fetched_once_and_whole(server, tmp_path):
    seen = []
    out = tmp_path / "out"
    assert fetch_images(NAMES, f"{server.url}/train/", out, workers=4, progress=seen.append) == 40
    assert sorted(path.name for path in out.iterdir()) == sorted(NAMES)
    assert (out / "7.jpg").read_bytes() == bytes([7]) * 1000
    assert seen == list(range(1, 41))
    (out / "7.jpg").unlink()
    server.asked.clear()
    assert fetch_images(NAMES, f"{server.url}/train", out) == 1
    assert server.asked == [("/train/7.jpg", None)]


def test_a_server_that_fails_for_a_while_is_asked_again(server, tmp_path):
    server.failures = 3
    assert fetch_images(NAMES[:2], f"{server.url}/train", tmp_path / "out", 1, pause=0.001) == 2
    assert len(server.asked) == 5


def test_a_body_that_breaks_off_is_not_kept(server, tmp_path):
    server.cut = 500
    with pytest.raises(UserError, match=r"0.jpg: IncompleteRead.*; run again to go on"):
        fetch_images(NAMES[:1], f"{server.url}/train", tmp_path / "out", 1, pause=0.001)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_ends_it_with_the_name_of_the_file(server, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device", str(source))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match=r"out/0.jpg: cannot be written: No space left on device"):
        fetch_images(NAMES, f"{server.url}/train", tmp_path / "out", 1, pause=0.001)
    assert list((tmp_path / "out").iterdir()) == [] and len(server.asked) < 10


def test_what_the_server_does_not_have_is_named_and_the_rest_fetched(server, tmp_path):
    names = ["gone.jpg", *NAMES[:5]]
    with pytest.raises(UserError, match="train/gone.jpg: the server says 404 Not Found; run again"):
        fetch_images(names, f"{server.url}/train", tmp_path / "out", 2, pause=0.001)
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_a_folder_can_be_the_source(tmp_path, server):
    assert fetch_images(NAMES, str(tmp_path / "web" / "train"), tmp_path / "out") == 40
    with pytest.raises(UserError, match="gone.jpg: No such file or directory"):
        fetch_images(["gone.jpg"], str(tmp_path / "web" / "train"), tmp_path / "out")
