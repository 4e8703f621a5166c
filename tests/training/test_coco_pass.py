"""hotcoco in place of pycocotools: the same scores, curves and classes to the last bit."""

import importlib.util
import os

import numpy as np
import pytest

from gluon_ssd.data import open_dataset
from gluon_ssd.data.coco import make_truth
from gluon_ssd.training import coco_pass
from gluon_ssd.training.coco_eval import score


def random_box(rng):
    """Left, top, width and height in pixels, of all sizes alike."""
    return np.r_[rng.uniform(0, 600, 2), np.exp(rng.uniform(1, 6, 2))]


def random_truth(rng, images, classes):
    """Objects of all sizes, crowds, regions to ignore, areas that are not the box's, and empty images."""
    annotations = []
    for image in range(1, images + 1):
        for _ in range(rng.poisson(6) * (rng.random() < 0.7)):
            box = random_box(rng).round(2).tolist()
            area, category = box[2] * box[3] * rng.uniform(0.3, 1), int(rng.integers(1, classes + 1))
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": category})
            flags = {"iscrowd": int(rng.random() < 0.2), "ignore": int(rng.random() < 0.2)}
            annotations[-1].update(bbox=box, area=area, **flags)
    sizes = [{"id": image, "width": 640, "height": 640} for image in range(1, images + 1)]
    names = [{"id": category, "name": f"class {category}"} for category in range(1, classes + 1)]
    return make_truth({"images": sizes, "annotations": annotations, "categories": names})


def random_detections(rng, truth, count, decimals):
    """Detections near objects and anywhere, of right and wrong classes; few decimals make scores tie."""
    objects, categories = truth.dataset["annotations"], [row["id"] for row in truth.dataset["categories"]]
    rows = []
    for image in truth.getImgIds():
        here = [row for row in objects if row["image_id"] == image]
        for _ in range(count * (rng.random() < 0.8)):
            box, category = random_box(rng), rng.choice(categories)
            if here and rng.random() < 0.6:
                near = here[rng.integers(len(here))]
                box = np.array(near["bbox"]) * rng.normal(1, 0.1, 4).clip(0.1)
                category = near["category_id"] if rng.random() < 0.8 else category
            rows.append([image, *box, round(rng.random(), decimals), category])
    return np.array(rows, np.float64).reshape(-1, 7)


def assert_same(truth, rows, images):
    names = {row["id"]: row["name"] for row in truth.dataset["categories"]}
    ours, reference = (score(truth, rows.copy(), images, names, flag) for flag in (False, True))
    assert ours.stats == reference.stats
    # As text, because NaN differs from itself.
    assert repr(ours.classes) == repr(reference.classes)
    assert (ours.best, ours.images, ours.detections) == (reference.best, len(images), len(rows))
    for name in ("objects", "found", "right"):
        np.testing.assert_array_equal(getattr(ours.curves, name), getattr(reference.curves, name))
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(ours.coco_eval.eval[name], reference.coco_eval.eval[name])
    return reference


@pytest.fixture
def hotcoco():
    pytest.importorskip("hotcoco", reason='hotcoco is not installed: pip install "gluon_ssd[fast-coco]"')
    assert coco_pass.scorer_name() == "hotcoco" and coco_pass.scorer_name(True) == "pycocotools"


@pytest.mark.usefixtures("hotcoco")
@pytest.mark.parametrize(
    ("images", "classes", "count", "decimals"),
    [
        (12, 3, 40, 2),
        (8, 80, 100, 15),
        # More than the hundred best of a class that count.
        (5, 1, 150, 1),
        (9, 5, 1, 2),
        (1, 2, 3, 2),
    ],
)
def test_random_sets_have_equal_scores(images, classes, count, decimals):
    rng = np.random.default_rng(images * classes + count)
    truth = random_truth(rng, images, classes)
    rows = random_detections(rng, truth, count, decimals)
    assert_same(truth, rows, truth.getImgIds())
    # Detections on images that are not asked for, and in an order of their own.
    assert_same(truth, rng.permutation(rows), truth.getImgIds()[::2])


@pytest.mark.once
@pytest.mark.usefixtures("hotcoco")
def test_two_thousand_classes_have_equal_scores():
    rng = np.random.default_rng(4)
    truth = random_truth(rng, 6, 2000)
    assert_same(truth, random_detections(rng, truth, 60, 2), truth.getImgIds())


@pytest.mark.usefixtures("hotcoco")
def test_no_detections_and_no_objects_have_equal_scores():
    rng = np.random.default_rng(1)
    truth = random_truth(rng, 4, 3)
    assert assert_same(truth, np.zeros((0, 7)), [1, 2, 3, 4]).map == 0
    bare = make_truth({**truth.dataset, "annotations": []})
    assert assert_same(bare, random_detections(rng, bare, 5, 2), [1, 2, 3, 4]).map == -1


@pytest.mark.usefixtures("hotcoco")
@pytest.mark.skipif("GLUON_SSD_COCO128" not in os.environ, reason="GLUON_SSD_COCO128 names no data set")
def test_coco128_has_equal_scores():
    truth = open_dataset(os.environ["GLUON_SSD_COCO128"], "train").coco_gt()
    rows = random_detections(np.random.default_rng(2), truth, 30, 4)
    assert assert_same(truth, rows, truth.getImgIds()).map > 0.03


def test_without_hotcoco_it_is_pycocotools(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "hotcoco" else found(name, *rest)
    )
    assert coco_pass.scorer_name() == "pycocotools"
    rng = np.random.default_rng(3)
    truth = random_truth(rng, 3, 2)
    evaluation = coco_pass.match(truth, random_detections(rng, truth, 9, 2), [1, 2, 3])
    assert evaluation.cocoDt is not None
