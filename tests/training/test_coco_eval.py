import csv

import numpy as np
import pytest
from pycocotools.coco import COCO
from small import edit, write_set

from gluon_ssd.data.opening import open_dataset
from gluon_ssd.training.coco_eval import METRICS, ClassScore, per_class_csv, score
from gluon_ssd.training.evaluate import result_rows, score_detections

NAMES = {3: "cat", 7: "dog", 9: "bird"}


def truth():
    coco = COCO()
    boxes = [
        (1, 3, [10, 10, 40, 40], 0),
        (1, 7, [60, 60, 30, 30], 0),
        (2, 3, [5, 5, 20, 20], 0),
        (2, 3, [50, 0, 40, 90], 1),
    ]
    coco.dataset = {
        "images": [{"id": number, "width": 100, "height": 100} for number in (1, 2, 3)],
        "categories": [{"id": number, "name": name} for number, name in NAMES.items()],
        "annotations": [
            {
                "id": index + 1,
                "image_id": image,
                "category_id": category,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": crowd,
            }
            for index, (image, category, box, crowd) in enumerate(boxes)
        ],
    }
    coco.createIndex()
    return coco


def rows(*detections):
    return np.array(detections, dtype=np.float64).reshape(-1, 7)


PERFECT = rows((1, 10, 10, 40, 40, 0.9, 3), (1, 60, 60, 30, 30, 0.8, 7), (2, 5, 5, 20, 20, 0.7, 3))


def test_perfect_detections_score_one():
    scores = score(truth(), PERFECT, [1, 2, 3], NAMES)
    assert [scores.stats[name] for name in ("map", "ap50", "ar_100")] == pytest.approx([1, 1, 1])
    assert list(scores.stats) == [name for name, _ in METRICS] and len(scores.stats) == 12
    assert scores.images == 3


def test_classes_have_their_own_scores_and_crowds_do_not_count_as_objects():
    cat, dog, bird = score(truth(), PERFECT[[0, 1]], [1, 2, 3], NAMES).classes
    assert (cat.name, cat.objects, dog.name, dog.objects) == ("cat", 2, "dog", 1)
    # One of two cats found: precision 1 up to recall 0.5, 51 of 101 points.
    assert cat.ap == pytest.approx(51 / 101) and dog.ap == pytest.approx(1)
    assert bird.objects == 0 and np.isnan(bird.ap)


def test_no_detection_at_all_scores_zero():
    scores = score(truth(), rows(), [1, 2, 3], NAMES)
    assert scores.map == 0 and scores.detections == 0 and scores.images == 3


def test_a_detection_inside_a_crowd_region_is_not_held_against_us():
    inside = np.concatenate([PERFECT, rows((2, 55, 10, 20, 20, 0.95, 3))])
    assert score(truth(), inside, [1, 2, 3], NAMES).map == pytest.approx(1)
    outside = np.concatenate([PERFECT, rows((3, 55, 10, 20, 20, 0.95, 3))])
    assert score(truth(), outside, [1, 2, 3], NAMES).map < 0.99


def test_only_the_named_images_count():
    assert score(truth(), PERFECT[:2], [1], NAMES).map == pytest.approx(1)


def test_any_name_of_a_class_fits_the_table_of_classes():
    names = ["plain", 'a "quoted", name', "two\nlines"]
    text = per_class_csv([ClassScore(name, 3, 0.25, 0.5) for name in names])
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    assert [row["class"] for row in rows] == names
    assert {row["objects"]: row["ap50"] for row in rows} == {"3": "0.50000"}


@pytest.mark.parametrize("first", [1, 2**53, 1234567890123456789])
@pytest.mark.parametrize("reference", [True, False])
def test_ids_of_images_may_be_as_long_as_a_hash(tmp_path, first, reference):
    """Rows of float64, in which detections are handed over, do not hold them."""
    root = write_set(tmp_path / "set")

    def lengthen(content):
        for key, rows in (("id", content["images"]), ("image_id", content["annotations"])):
            for row in rows:
                row[key] += first

    edit(root, "train", lengthen)
    data = open_dataset(root)
    scores, class_ids = np.array([0.9], np.float32), [record.classes for record in data.records]
    found = {r.image_id: (r.boxes, scores, k) for r, k in zip(data.records, class_ids)}
    assert score_detections(found, data, reference).map == 1
    assert [row["image_id"] for row in result_rows(found, data.category_ids)] == list(found)
