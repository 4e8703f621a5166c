"""Precision, recall and F1 against confidence, by hand; the threshold into a checkpoint and out again."""

import numpy as np
import pytest
from pycocotools.coco import COCO

from gluon_ssd.report.confidence_plot import plot_confidence
from gluon_ssd.tensor_files.archive import read_archive, write_archive
from gluon_ssd.training.coco_eval import score, score_table
from gluon_ssd.training.confidence import THRESHOLDS, ConfidenceCurves
from gluon_ssd.weights.checkpoint import read_checkpoint

NAMES = {1: "cat", 2: "dog", 3: "bird"}
BOX, FAR = [10, 10, 20, 20], [60, 60, 20, 20]


def scores(*detections, crowd=()):
    """Of three images with a cat each, the third also with a dog; rows are image, box, score, category."""
    objects = [(1, 1), (2, 1), (3, 1), (3, 2)]
    rows = [(image, kind, BOX if kind == 1 else FAR, 0) for image, kind in objects]
    rows += [(image, 1, box, 1) for image, box in crowd]
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number, "width": 100, "height": 100} for number in (1, 2, 3)],
        "categories": [{"id": number, "name": name} for number, name in NAMES.items()],
        "annotations": [
            {"id": k, "image_id": image, "category_id": kind, "bbox": box, "area": 400, "iscrowd": many}
            for k, (image, kind, box, many) in enumerate(rows, 1)
        ],
    }
    coco.createIndex()
    found = [[image, *box, value, kind] for image, box, value, kind in detections]
    return score(coco, np.array(found, np.float64).reshape(-1, 7), [1, 2, 3], NAMES)


# Two cats of three and the dog are found; one dog and one bird are not there.
SOME = [(1, BOX, 0.9, 1), (2, BOX, 0.5, 1), (3, FAR, 0.6, 2), (1, FAR, 0.305, 2), (2, FAR, 0.2, 3)]


def test_each_class_has_the_threshold_of_its_best_f1():
    cat, dog, bird = scores(*SOME).classes
    # 2 of 2 right, 2 of 3 found: 2 x 2 / (2 + 3), up to 0.5. Nothing at all scores below 0.2; the middle of
    # the two is 0.35.
    assert (cat.best.f1, cat.best.precision, cat.best.recall) == pytest.approx((0.8, 1, 2 / 3))
    assert cat.best.threshold == 0.35
    # The wrong dog goes at 0.31, the right one at 0.61; the middle of 0.31 to 0.60 is 0.46.
    assert (dog.best.f1, dog.best.threshold) == (1, 0.46)
    assert bird.best is None


def test_all_classes_together_count_every_detection():
    best = scores(*SOME).best
    # From 0.31 to 0.50: three detections, all right, of four objects: 2 x 3 / (3 + 4).
    assert (best.f1, best.precision, best.recall) == pytest.approx((6 / 7, 1, 0.75))
    assert 0.31 <= best.threshold <= 0.5


def test_counts_at_each_threshold():
    curves = scores(*SOME).curves
    at = list(THRESHOLDS).index(0.3)
    assert curves.objects.tolist() == [3, 1, 0]
    assert curves.found[:, at].tolist() == [2, 2, 0] and curves.right[:, at].tolist() == [2, 1, 0]
    assert curves.precision()[:2, at].tolist() == [1, 0.5]
    assert np.isnan(curves.recall()[2]).all() and np.isnan(curves.precision()[0, 95])


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong():
    inside = [*SOME, (1, [62, 62, 10, 10], 0.95, 1)]
    assert scores(*inside).best.precision < 1
    assert scores(*inside, crowd=[(1, FAR)]).best == scores(*SOME).best


def test_where_nothing_is_right_there_is_no_best_threshold():
    assert scores().best is None
    assert scores((1, FAR, 0.9, 1)).best is None
    assert "best at score threshold" not in score_table(scores())


def test_the_table_says_both():
    lines = score_table(scores(*SOME)).splitlines()
    assert any("best at score threshold 0.4" in line and "precision 1.0000" in line for line in lines)
    (cat,) = [line.split() for line in lines if line.startswith("  cat ")]
    assert cat[-2:] == ["0.8000", "0.35"]


def test_a_number_that_these_images_do_not_define_is_a_dash():
    lines = score_table(scores(*SOME)).splitlines()
    # All objects are small ones.
    assert "  AP   IoU 0.50:0.95  large   max 100         -" in lines
    assert "  -: not defined, because these images have no such object" in lines
    assert "-1.0000" not in "".join(lines)


def test_curves_of_many_classes_are_those_of_one_together():
    curves = ConfidenceCurves(np.array([1, 2]), np.ones((2, 100), int), np.eye(2, 100, dtype=int))
    assert curves.together().objects.tolist() == [3]
    assert curves.together().found.tolist() == [[2] * 100]


@pytest.mark.usefixtures("drawn_plots")
@pytest.mark.parametrize("detections", [SOME, []])
def test_the_plot(tmp_path, detections):
    plot_confidence(scores(*detections), tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 10_000


def with_threshold(run, path, value):
    arrays, state = read_archive(run / "checkpoints/best.ckpt")
    state["progress"]["threshold"] = value
    if value is None:
        del state["progress"]["threshold"]  # as checkpoints before it was kept
    write_archive(path, arrays, state)
    return path


def test_predict_takes_the_threshold_of_the_checkpoint_and_says_so(cli, small_run, shapes, tmp_path):
    checkpoint = with_threshold(small_run, tmp_path / "a.ckpt", 0.07)
    flags = ("predict", shapes / "val", "--weights", checkpoint)
    outcome = cli(*flags, "--output", "own")
    assert "score threshold 0.07, that of the best F1 in the training's last evaluation" in outcome.out
    asked = cli(*flags, "--score-threshold", 0.07, "--output", "asked")
    assert "best F1" not in asked.out
    assert (tmp_path / "own/detections.json").read_text() == (tmp_path / "asked/detections.json").read_text()


def test_predict_with_a_checkpoint_that_knows_none_is_as_before(cli, small_run, shapes, tmp_path):
    checkpoint = with_threshold(small_run, tmp_path / "a.ckpt", None)
    flags = ("predict", shapes / "val", "--weights", checkpoint)
    outcome = cli(*flags, "--output", "own")
    assert outcome.status == 0 and "score threshold" not in outcome.out
    assert cli(*flags, "--score-threshold", 0.3, "--output", "asked").status == 0
    assert (tmp_path / "own/detections.json").read_text() == (tmp_path / "asked/detections.json").read_text()


def test_a_detector_in_python_takes_it_where_it_is_asked_to(small_run, tmp_path):
    from gluon_ssd import Detector, UserError

    checkpoint = with_threshold(small_run, tmp_path / "a.ckpt", 0.07)
    assert Detector(checkpoint).score_threshold == 0.05
    assert Detector(checkpoint, score_threshold="best").score_threshold == 0.07
    assert Detector(checkpoint, score_threshold="best", fuse=True).score_threshold == 0.07
    other = with_threshold(small_run, tmp_path / "b.ckpt", None)
    with pytest.raises(UserError, match="comes from no evaluation"):
        Detector(other, score_threshold="best")
    found = [Detector(one, "best", fallback_threshold=0.6).score_threshold for one in (checkpoint, other)]
    assert found == [0.07, 0.6]


def test_training_keeps_the_threshold_of_its_evaluation(small_run):
    import json

    best = json.loads((small_run / "val/scores.json").read_text())["best"]
    kept = read_checkpoint(small_run / "checkpoints/best.ckpt").progress.threshold
    assert kept == (best and best["threshold"])
