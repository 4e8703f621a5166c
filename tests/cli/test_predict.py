"""Sources, names and results of `predict`; detection itself is tested with the detector."""

import json
from pathlib import Path

import numpy as np
import pytest

from gluon_ssd.cli.sources import expand_sources, output_names, result_names
from gluon_ssd.data.coco_names import COCO_CLASSES
from gluon_ssd.detections import Detections
from gluon_ssd.errors import UserError
from gluon_ssd.outputs.coco import category_ids, coco_results, image_ids


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.PNG", "notes.txt", "raw", "deep/c.jpeg", "../scans/d.JP2", "../scans/e.jpe"):
        path = (tmp_path / "photos" / name).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()


def found(*names, boxes=()):
    count = len(names)
    boxes = np.asarray(boxes, np.float32).reshape(count, 4)
    scores = np.full(count, 0.123456789, np.float32)
    return Detections(boxes, scores, np.arange(count), names, "photo.jpg")


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["photos"], ["photos/a.PNG", "photos/b.jpg", "photos/deep/c.jpeg"]),
        (["photos/*"], ["photos/a.PNG", "photos/b.jpg"]),
        (["photos/**/*.jp*g"], ["photos/b.jpg", "photos/deep/c.jpeg"]),
        (["photos/raw"], ["photos/raw"]),
        (["scans"], ["scans/d.JP2", "scans/e.jpe"]),
        (["photos/b.jpg", "photos", "photos/b.jpg"], ["photos/b.jpg", "photos/a.PNG", "photos/deep/c.jpeg"]),
    ],
)
def test_sources(photos, sources, expected):
    assert [str(path) for path in expand_sources(sources).paths] == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gone.jpg", "gone.jpg: no such file or folder"),
        ("photos/*.tiff", "photos/*.tiff: no image or video matches"),
        ("empty", "empty: no image or video in this folder (.avif, .bmp, "),
    ],
)
def test_a_source_that_matches_nothing(photos, cli, source, message):
    with pytest.raises(UserError) as caught:
        expand_sources(["photos/b.jpg", source])
    assert str(caught.value).startswith(message)


def test_it_is_said_before_anything_heavy_is_loaded(cli):
    assert cli("predict", "gone.jpg", "--weights", "w") == (
        2,
        "",
        "error: gone.jpg: no such file or folder\n",
    )


def test_coco_results_are_json_in_pixels(tmp_path):
    rows = coco_results(
        found("dog", "cat", boxes=[[10, 20, 30.5, 60], [0, 0, 1, 1]]), tmp_path / "000042.jpg", 42, [1, 18]
    )
    assert json.loads(json.dumps(rows)) == [
        {
            "image_id": 42,
            "file_name": "000042.jpg",
            "category_id": 1,
            "category_name": "dog",
            "bbox": [10, 20, 20.5, 40],
            "area": 820,
            "score": 0.12345679,
        },
        {
            "image_id": 42,
            "file_name": "000042.jpg",
            "category_id": 18,
            "category_name": "cat",
            "bbox": [0, 0, 1, 1],
            "area": 1,
            "score": 0.12345679,
        },
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["000042.jpg", "7.png"], [42, 7]),
        (["photo²1.jpg", "b.jpg"], [1, 2]),
        (["b.jpg", "1.jpg"], [1, 2]),
        (["x/1.jpg", "y/1.jpg"], [1, 2]),
    ],
)
def test_image_ids_are_the_numbers_in_the_names_unless_two_would_share_one(tmp_path, names, expected):
    assert image_ids([tmp_path / name for name in names]) == expected


def test_category_ids_are_those_of_coco_for_its_classes():
    ids = dict(zip(COCO_CLASSES, category_ids(COCO_CLASSES)))
    assert len(ids) == 80
    assert (ids["person"], ids["stop sign"], ids["dog"], ids["toothbrush"]) == (1, 13, 18, 90)
    assert category_ids(["cat", "dog"]) == [1, 2]


def test_no_detections(tmp_path):
    assert coco_results(found(), tmp_path / "1.jpg", 0, [1]) == []


def test_names_that_come_twice_are_kept_apart(tmp_path):
    paths = [tmp_path / name for name in ("x/a.jpg", "y/a.jpg", "z/a.jpg", "b.JPG", "raw")]
    assert output_names(paths) == ["a.jpg", "a-2.jpg", "a-3.jpg", "b.JPG", "raw.png"]


def test_frames_and_images_are_kept_apart():
    images, videos = [Path("v_000007.jpg"), Path("w_7.jpg")], [Path("v.mp4"), Path("w.mp4"), Path("w_7.mp4")]
    assert result_names(images, videos) == ["v_000007", "w_7", "v-2", "w", "w_7-2"]


def test_names_that_macos_and_windows_take_for_one_are_kept_apart(tmp_path):
    paths = [tmp_path / name for name in ("x/A.jpg", "y/a.jpg", "y/a-2.JPG", "\u00e9.png", "e\u0301.png")]
    assert output_names(paths) == ["A.jpg", "a-2.jpg", "a-2-2.JPG", "\u00e9.png", "e\u0301-2.png"]
