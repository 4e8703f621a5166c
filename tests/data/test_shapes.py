"""The generated data set: valid COCO, the promised bounds, byte-identical, never half made."""

import hashlib
import json
import os
import sys

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from gluon_ssd.data import shape_art as art
from gluon_ssd.data import shapes
from gluon_ssd.data.shapes import SHAPES, make_picture, make_shapes
from gluon_ssd.errors import UserError


def digests(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp("shapes") / "set", train=60, val=12, seed=3)


@pytest.fixture(scope="module")
def train(root):
    return json.loads((root / "annotations" / "instances_train.json").read_text())


def test_six_classes():
    assert SHAPES == ("circle", "square", "triangle", "star", "ring", "cross")


def test_layout(root):
    assert sorted(p.name for p in root.iterdir()) == ["annotations", "shapes.json", "train", "val"]
    assert sorted(p.name for p in (root / "train").iterdir()) == [f"{i:06d}.jpg" for i in range(1, 61)]
    assert len(list((root / "val").iterdir())) == 12
    assert json.loads((root / "shapes.json").read_text()) == {
        "generator": 2, "train": 60, "val": 12, "size": [240, 320], "seed": 3,
    }  # fmt: skip


@pytest.mark.parametrize("split, count", [("train", 60), ("val", 12)])
def test_pycocotools_reads_it_and_scores_it(root, split, count, capsys):
    coco = COCO(str(root / "annotations" / f"instances_{split}.json"))
    assert len(coco.imgs) == count
    assert sorted(coco.cats) == [1, 2, 3, 4, 5, 6]
    assert [coco.cats[i]["name"] for i in sorted(coco.cats)] == list(SHAPES)
    assert len(coco.anns) == len(coco.dataset["annotations"]) > 2 * count
    first = next(iter(coco.anns.values()))
    found = [{"image_id": first["image_id"], "category_id": 1, "bbox": first["bbox"], "score": 0.5}]
    assert len(coco.loadRes(found).anns) == 1
    capsys.readouterr()


def test_images_have_the_recorded_sizes(root, train):
    for image in train["images"]:
        picture = cv2.imread(str(root / "train" / image["file_name"]))
        assert picture.shape == (image["height"], image["width"], 3)
        assert min(picture.shape[:2]) >= 192 and max(picture.shape[:2]) <= 384
    assert len({(i["height"], i["width"]) for i in train["images"]}) > 40
    assert any(i["height"] > i["width"] for i in train["images"])


def test_one_to_eight_objects_and_two_empty_images(train):
    counts = np.bincount([a["image_id"] for a in train["annotations"]], minlength=61)[1:]
    assert (counts == 0).sum() == 2
    assert counts.max() <= 8
    assert set(counts) >= {0, 1, 2, 3, 4, 5, 6}


def test_classes_are_balanced(train):
    counts = np.bincount([a["category_id"] for a in train["annotations"]], minlength=7)
    assert counts[0] == 0
    assert counts[1:].min() > 0.6 * counts[1:].mean()


def test_boxes_lie_inside_and_areas_fill_them(train):
    sizes = {i["id"]: (i["width"], i["height"]) for i in train["images"]}
    for a in train["annotations"]:
        x, y, w, h = a["bbox"]
        width, height = sizes[a["image_id"]]
        assert x >= 0 and y >= 0 and w >= 1 and h >= 1 and x + w <= width and y + h <= height
        assert max(w, h) <= 0.6 * min(width, height) + 2
        assert 0.15 * w * h < a["area"] <= w * h
        assert a["iscrowd"] == 0


def test_objects_inside_the_image_are_not_too_small(train):
    sizes = {i["id"]: (i["width"], i["height"]) for i in train["images"]}
    shares = []
    for a in train["annotations"]:
        (x, y, w, h), (width, height) = a["bbox"], sizes[a["image_id"]]
        if x > 0 and y > 0 and x + w < width and y + h < height:
            shares.append(max(w, h) / max(width, height))
    assert min(shares) >= 0.12
    assert max(shares) > 0.35


def test_no_object_loses_more_than_it_may():
    """Replays the scene: every object's visible share, parts outside the image counted as hidden."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        canvas, scene = np.zeros((200, 300, 3), np.uint8), shapes._Scene(200, 300, most_hidden=0.5)
        for _ in range(8):
            shapes._place(rng, canvas, scene)
        visible = np.bincount(scene.owner.ravel(), minlength=len(scene.full) + 1)[1:]
        assert len(scene.objects) >= 5
        assert (visible / scene.full).min() >= 0.5


def test_scene_refuses_to_hide_an_object():
    scene = shapes._Scene(40, 40, most_hidden=0.5)
    solid = np.full((10, 10), 255, np.uint8)
    assert scene.try_add(art.Patch(solid, 0, 0), 1)
    assert not scene.try_add(art.Patch(solid, 4, 0), 2)  # would hide 60% of the first
    assert scene.try_add(art.Patch(solid, 6, 0), 2)  # hides 40%
    assert not scene.try_add(art.Patch(solid, 36, 20), 3)  # 60% outside
    assert scene.try_add(art.Patch(solid, 35, 20), 3)  # 50% outside
    assert [o["bbox"] for o in scene.objects] == [[0, 0, 10, 10], [6, 0, 10, 10], [35, 20, 5, 10]]
    assert [o["area"] for o in scene.objects] == [100, 100, 50]


def test_rasterised_circle_has_its_analytic_area_and_extent():
    patch = art.rasterise(art.fit(art.OUTLINES["circle"](), 50, 0.3, 1.0, (40.0, 30.0)))
    area = patch.alpha.astype(float).sum() / 255
    assert area == pytest.approx(np.pi * 25**2, rel=0.02)
    rows, columns = np.nonzero(patch.alpha >= 128)
    assert (patch.x + columns.min(), patch.x + columns.max()) == (15, 64)
    assert (patch.y + rows.min(), patch.y + rows.max()) == (5, 54)
    assert {0, 255} < set(patch.alpha.ravel().tolist())  # soft edges


def test_ring_and_cross_have_holes_and_corners():
    ring = art.rasterise(art.fit(art.OUTLINES["ring"](), 60, 0.0, 1.0, (40.0, 40.0)))
    assert ring.alpha[40 - ring.y, 40 - ring.x] == 0
    assert ring.alpha[40 - ring.y, 16 - ring.x] == 255
    cross = art.rasterise(art.fit(art.OUTLINES["cross"](), 60, 0.0, 1.0, (40.0, 40.0)))
    assert cross.alpha[40 - cross.y, 40 - cross.x] == 255
    assert cross.alpha[14 - cross.y, 14 - cross.x] == 0


def test_colours_alone_do_not_tell_the_class():
    """Who takes the class of the nearest mean colour is often wrong."""
    colours, classes = [], []
    for seed in range(120):
        picture, objects = make_picture(np.random.default_rng(seed))
        for thing in objects:
            x, y, w, h = thing["bbox"]
            colours.append(picture[y : y + h, x : x + w].mean(axis=(0, 1)))
            classes.append(thing["category_id"])
    colours, classes = np.array(colours), np.array(classes)
    means = np.array([colours[classes == number].mean(axis=0) for number in range(1, 7)])
    guesses = 1 + np.linalg.norm(colours[:, None] - means, axis=2).argmin(axis=1)
    assert 1 / 6 < (guesses == classes).mean() < 0.8


def test_empty_picture_has_no_objects():
    picture, objects = make_picture(np.random.default_rng(1), (100, 120), empty=True)
    assert objects == []
    assert picture.dtype == np.uint8 and picture.ndim == 3


def test_same_seed_same_bytes(tmp_path):
    first = make_shapes(tmp_path / "a", train=6, val=3, size=(96, 128), seed=7)
    second = make_shapes(tmp_path / "b", train=6, val=3, size=(96, 128), seed=7)
    other = make_shapes(tmp_path / "c", train=6, val=3, size=(96, 128), seed=8)
    assert len(digests(first)) == 12
    assert digests(first) == digests(second)
    assert digests(first)["train/000001.jpg"] != digests(other)["train/000001.jpg"]
    assert digests(first)["train/000001.jpg"] != digests(first)["val/000001.jpg"]


def test_second_call_reuses_and_other_parameters_replace(tmp_path):
    root = make_shapes(tmp_path / "a", train=2, val=1, size=(64, 64))
    stamp = (root / "train" / "000001.jpg").stat().st_mtime_ns
    assert make_shapes(tmp_path / "a", train=2, val=1, size=(64, 64)) == root
    assert (root / "train" / "000001.jpg").stat().st_mtime_ns == stamp
    make_shapes(root, train=3, val=1, size=(64, 64))
    assert len(list((root / "train").iterdir())) == 3
    assert os.listdir(tmp_path) == ["a"]


def test_a_missing_image_is_made_again(tmp_path):
    root = make_shapes(tmp_path / "a", train=2, val=1, size=(64, 64))
    (root / "val" / "000001.jpg").unlink()
    make_shapes(root, train=2, val=1, size=(64, 64))
    assert (root / "val" / "000001.jpg").is_file()


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    made = []

    def interrupted(*args, **kwargs):
        made.append(1)
        if len(made) == 3:
            raise KeyboardInterrupt
        return make_picture(*args, **kwargs)

    monkeypatch.setattr(shapes, "make_picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_shapes(tmp_path / "a", train=5, val=1, size=(64, 64))
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks that tell")
def test_what_a_killed_process_left_goes(tmp_path):
    (tmp_path / ".data.0123456789.partial" / "train").mkdir(parents=True)
    make_shapes(tmp_path / "data", 1, 1, (64, 64))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_interruption_keeps_the_earlier_set(tmp_path, monkeypatch):
    root = make_shapes(tmp_path / "a", train=1, val=1, size=(64, 64))
    before = digests(root)
    monkeypatch.setattr(shapes, "make_picture", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        make_shapes(root, train=5, val=1, size=(64, 64))
    assert digests(root) == before


def test_foreign_files_are_never_deleted(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="thesis.txt"):
        make_shapes(tmp_path, train=1, val=1, size=(64, 64))
    root = make_shapes(tmp_path / "a", train=1, val=1, size=(64, 64))
    (root / "runs").mkdir()
    with pytest.raises(UserError, match="runs"):
        make_shapes(root, train=2, val=1, size=(64, 64))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"train": 0}, "at least 1 image"),
        ({"val": -1}, "at least 1 image"),
        ({"size": (10, 320)}, "64..4096"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_parameters(tmp_path, wrong, message):
    with pytest.raises(UserError, match=message):
        make_shapes(tmp_path / "a", **wrong)
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match="is a file"):
        make_shapes(tmp_path / "a", train=1, val=1)
    with pytest.raises(UserError, match="cannot write"):
        make_shapes(tmp_path / "a" / "b", train=1, val=1)
