"""What a report shows of an evaluation, against pycocotools and by hand."""

import json

import numpy as np
import pytest

from gluon_ssd.data.coco import CocoDataset
from gluon_ssd.report.analysis import analyse
from gluon_ssd.report.error_kinds import _Table as Table
from gluon_ssd.report.error_kinds import assign, error_costs
from gluon_ssd.training.evaluate import Evaluation, score_detections


@pytest.fixture(scope="module")
def dataset(shapes):
    return CocoDataset(shapes / "annotations/instances_val.json", shapes / "val")


def evaluated(dataset, found):
    return Evaluation(score_detections(found, dataset), found, 1.5)


def noisy(dataset):
    """Detections around the truth, some of other classes and some of nothing."""
    rng, found = np.random.default_rng(3), {}
    for record in dataset.records:
        boxes = np.concatenate([record.boxes] * 3) + rng.normal(0, 4, (3 * len(record.boxes), 4))
        labels = np.concatenate([record.classes] * 3)
        labels = np.where(rng.random(len(labels)) < 0.3, (labels + 1) % len(dataset.classes), labels)
        boxes = np.clip(boxes, 0, [record.width, record.height] * 2)
        found[record.image_id] = boxes.astype(np.float32), rng.random(len(boxes)).astype(np.float32), labels
    return found


def test_ap50_of_the_kinds_of_error_is_that_of_pycocotools(dataset):
    found = noisy(dataset)
    truth = [(record.boxes, record.classes, record.crowd) for record in dataset.records]
    table = Table.of([assign(*image) for image in zip(truth, found.values())], list(found.values()))
    expected = score_detections(found, dataset).stats["ap50"]
    assert 0.1 < expected < 0.9
    assert table.ap() == pytest.approx(expected, abs=1e-9)
    assert all(row.cost > 0 for row in error_costs(truth, list(found.values()), 0) if row.kind == "class")


def test_it_is_json_and_its_counts_agree(dataset):
    analysis = json.loads(json.dumps(analyse(evaluated(dataset, noisy(dataset)), dataset), allow_nan=False))
    objects = sum(len(record.boxes) for record in dataset.records)
    assert sum(size["objects"] for size in analysis["sizes"]) == objects
    assert sum(size["found"] for size in analysis["sizes"]) == analysis["right"]
    assert np.sum(analysis["confusion"]["matrix"]) >= objects
    worst = analysis["examples"]["worst"]
    assert [row["f1"] for row in worst] == sorted(row["f1"] for row in worst)
    assert len(analysis["examples"]["random"]) == 4
    assert all(row["truth"].startswith("data:image/jpeg;base64,") for row in worst)


def test_a_detector_without_an_error_has_no_worst_images(dataset):
    perfect = {r.image_id: (r.boxes, np.full(len(r.boxes), 0.9), r.classes) for r in dataset.records}
    analysis = analyse(evaluated(dataset, perfect), dataset)
    assert analysis["examples"]["worst"] == []
    assert {row["kind"]: (row["count"], row["cost"]) for row in analysis["kinds"]} == dict.fromkeys(
        ("class", "location", "both", "duplicate", "background", "missed"), (0, 0.0)
    )


def test_no_detections_at_all(dataset):
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    found = dict.fromkeys([record.image_id for record in dataset.records], none)
    analysis = analyse(evaluated(dataset, found), dataset)
    assert (analysis["best"], analysis["right"]) == (None, 0)
    json.dumps(analysis, allow_nan=False)
