"""TIDE's kinds of error on cases made by hand, and the AP that they cost."""

import numpy as np
import pytest

from gluon_ssd.report.error_kinds import IGNORED, KINDS, RIGHT, assign, error_costs

A, B = [0, 0, 10, 10], [40, 0, 50, 10]


def truth(*rows):
    """(box, class) or (box, class, crowd) rows as the truth of one image."""
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    crowd = np.array([len(row) > 2 for row in rows], bool)
    return boxes, np.array([row[1] for row in rows], int), crowd


def found(*rows):
    """(box, score, class) rows as the detections of one image."""
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    return boxes, np.array([row[1] for row in rows], float), np.array([row[2] for row in rows], int)


def costs(true, seen, score=0.0):
    return {row.kind: (row.count, pytest.approx(row.cost)) for row in error_costs([true], [seen], score)}


@pytest.mark.parametrize(
    ("box", "label", "kind"),
    [
        ([0, 0, 10, 6], 0, RIGHT),  # IoU 0.6
        ([0, 0, 10, 5], 0, RIGHT),  # IoU 0.5, just enough
        ([0, 0, 10, 4], 0, "location"),  # IoU 0.4
        ([0, 0, 10, 1], 0, "location"),  # IoU 0.1, just enough
        ([0, 0, 10, 0.5], 0, "background"),
        ([0, 0, 10, 8], 1, "class"),
        ([0, 0, 10, 4], 1, "both"),
        ([0, 0, 10, 0.5], 1, "background"),
        ([60, 60, 70, 70], 0, "background"),
    ],
)
def test_the_kind_of_one_detection(box, label, kind):
    outcome = assign(truth((A, 0)), found((box, 0.9, label)))
    assert outcome.kinds.tolist() == [kind]
    # An object that a detection of the wrong place or class points at is not missed as well.
    assert outcome.missed.tolist() == [kind in ("both", "background")]
    assert outcome.found.tolist() == [kind == RIGHT]


def test_the_second_detection_of_an_object_is_a_duplicate_whatever_its_overlap():
    outcome = assign(truth((A, 0)), found((A, 0.5, 0), ([0, 0, 10, 9], 0.9, 0)))
    assert outcome.order.tolist() == [1, 0]
    assert outcome.kinds.tolist() == [RIGHT, "duplicate"]


def test_detections_below_the_score_do_not_count_and_leave_the_object_missed():
    outcome = assign(truth((A, 0)), found((A, 0.4, 0)), score=0.5)
    assert (outcome.kinds.tolist(), outcome.missed.tolist()) == ([], [True])


def test_a_crowd_region_takes_detections_of_its_class_and_is_not_missed():
    true = truth(([0, 0, 100, 100], 0, "crowd"))
    assert assign(true, found((A, 0.9, 0), (B, 0.8, 1))).kinds.tolist() == [IGNORED, "background"]
    assert assign(true, found()).missed.tolist() == []


def test_an_image_without_objects_and_one_without_detections():
    assert assign(truth(), found((A, 0.9, 0))).kinds.tolist() == ["background"]
    assert assign(truth((A, 0), (B, 1)), found()).missed.tolist() == [True, True]


def test_what_each_kind_costs():
    # Half of the objects are found: 51 of the 101 recalls have precision 1.
    half = 51 / 101
    right = (A, 0.9, 0)
    assert costs(truth((A, 0), (B, 0)), found(right)) == {
        **dict.fromkeys(KINDS, (0, 0.0)),
        "missed": (1, 1 - half),
    }
    # A misplaced detection, put right, finds the other half.
    misplaced = ([40, 0, 50, 4], 0.8, 0)
    assert costs(truth((A, 0), (B, 0)), found(right, misplaced))["location"] == (1, 1 - half)
    # A better one of no object halves the precision everywhere.
    assert costs(truth((A, 0)), found(right, ([60, 60, 70, 70], 0.95, 0)))["background"] == (1, 0.5)
    assert costs(truth((A, 0)), found((A, 0.95, 0), right))["duplicate"] == (1, 0.0)


def test_a_wrong_class_is_repaired_once_for_each_object():
    wrong = (A, 0.9, 1), ([0, 0, 10, 9], 0.8, 1)
    rows = costs(truth((A, 0), (B, 1)), found(*wrong, (B, 0.7, 1)))
    # Class 1 has precision 1/3 and class 0 nothing; both become 1.
    assert rows["class"] == (2, 1 - (1 / 3) / 2)


def test_of_a_wrong_class_and_a_wrong_place_the_better_detection_is_put_right():
    seen = (A, 0.8, 1), ([0, 0, 10, 4], 0.9, 0)
    rows = costs(truth((A, 0)), found(*seen))
    assert (rows["class"], rows["location"]) == ((1, 0.0), (1, 1.0))


def test_the_score_chooses_what_is_counted_but_not_what_it_costs():
    low = costs(truth((A, 0)), found((A, 0.2, 0), ([60, 60, 70, 70], 0.3, 0)), score=0.25)
    assert low["background"] == (1, 0.5)
    assert low["missed"] == (1, 0.0)


def test_many_at_random_give_what_the_tool_of_the_authors_gives():
    """The numbers are those of tidecv 1.0.1 on the same boxes, in percent."""
    rng, true, seen = np.random.default_rng(0), [], []
    for _ in range(300):
        count = rng.integers(0, 7)
        corners = rng.uniform(0, 200, (count, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(10, 80, (count, 2))], 1)
        labels = rng.integers(0, 4, count)
        near = np.concatenate([boxes, boxes, boxes[:1] * 0 + rng.uniform(0, 100)])
        near += rng.normal(0, 9, near.shape)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        guesses = np.concatenate([labels, labels, labels[:1]])
        guesses = np.where(rng.random(len(guesses)) < 0.25, rng.integers(0, 4, len(guesses)), guesses)
        true.append((boxes, labels))
        seen.append((near, rng.random(len(guesses)), guesses))
    assert {row.kind: (row.count, round(100 * row.cost, 3)) for row in error_costs(true, seen, 0)} == {
        "class": (130, 3.562),
        "location": (584, 31.011),
        "both": (128, 1.562),
        "duplicate": (193, 1.019),
        "background": (411, 5.427),
        "missed": (45, 1.239),
    }


def test_nothing_at_all():
    assert all(row.count == 0 and row.cost == 0 for row in error_costs([], [], 0.5))
    assert all(row.cost == 0 for row in error_costs([truth()], [found()], 0.5))
