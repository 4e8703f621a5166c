"""The random crop: what it may return, and how often."""

from __future__ import annotations

import numpy as np
import pytest

from gluon_ssd.data import crop
from gluon_ssd.data.crop import centres_inside, random_crop

BOXES = np.array([[100, 100, 400, 300], [300, 50, 620, 470]], np.float32)


def crops(boxes, count=2000, width=640, height=480, seed=0, **options):
    rng = np.random.default_rng(seed)
    return np.array([random_crop(width, height, np.asarray(boxes), rng, **options) for _ in range(count)])


def iou(frames, box):
    """Slow and plain, as an oracle."""
    result = []
    for left, top, right, bottom in frames:
        wide = max(0, min(right, box[2]) - max(left, box[0]))
        high = max(0, min(bottom, box[3]) - max(top, box[1]))
        union = (right - left) * (bottom - top) + (box[2] - box[0]) * (box[3] - box[1]) - wide * high
        result.append(wide * high / union)
    return np.array(result)


def test_geometry():
    frames = crops(BOXES)
    width, height = (frames[:, 2:] - frames[:, :2]).T
    assert (frames[:, :2] >= 0).all() and (frames[:, 2] <= 640).all() and (frames[:, 3] <= 480).all()
    assert width.min() >= 0.3 * 640 - 1 and height.min() >= 0.3 * 480 - 1
    aspect = (width / 640) / (height / 480)
    assert aspect.min() > 0.49 and aspect.max() < 2.04
    assert centres_inside(frames, BOXES).any(axis=1).all()


@pytest.mark.parametrize("option", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_every_object_exceeds_the_least_iou(option, monkeypatch):
    monkeypatch.setattr(crop, "MIN_IOUS", (option,))
    box = [10.0, 20.0, 630.0, 470.0]
    frames = crops([box], 200)
    assert iou(frames, box).min() > option
    # The floor is reached: nothing stricter is applied.
    assert option > 0.8 or iou(frames, box).min() < option + 0.1


def test_the_free_option_only_asks_for_a_centre(monkeypatch):
    monkeypatch.setattr(crop, "MIN_IOUS", (-np.inf,))
    frames = crops([[300, 200, 302, 202]], 500)
    assert centres_inside(frames, np.array([[300, 200, 302, 202]])).all()
    # Sides are uniform in 0.3 .. 1, less often at the ends because of the aspect and the centre.
    width = (frames[:, 2] - frames[:, 0]) / 640
    assert 0.3 <= width.min() < 0.33 and 0.97 < width.max() <= 1


def test_options_are_equally_likely():
    # One object that fills the image: every option finds a crop, so the whole image is taken in 1 of 7 draws
    # (0.9 sometimes fails in 50 attempts and draws again).
    frames = crops([[0, 0, 640, 480]], 4000)
    whole = (frames == [0, 0, 640, 480]).all(axis=1).mean()
    assert 1 / 7 - 0.02 < whole < 1 / 6 + 0.02
    # Objects too small for any IoU leave two options, the whole image and any crop.
    frames = crops([[300, 200, 310, 210]], 4000)
    whole = (frames == [0, 0, 640, 480]).all(axis=1).mean()
    assert 0.47 < whole < 0.53


def test_one_attempt_takes_the_whole_image_more_often():
    whole = [
        (crops([[100, 100, 110, 110]], 3000, attempts=attempts) == [0, 0, 640, 480]).all(axis=1).mean()
        for attempts in (1, 50)
    ]
    # A free crop succeeds at once with probability p, so 1 attempt gives 1 / (1 + p).
    assert whole[0] > whole[1] + 0.05


def test_agrees_with_a_plain_loop_in_distribution():
    def plain(rng):
        while True:
            option = crop.MIN_IOUS[rng.integers(7)]
            if option is None:
                return 0, 0, 640, 480
            for _ in range(50):
                w, h = rng.uniform(0.3, 1, 2)
                if not 0.5 < w / h < 2:
                    continue
                left, top = rng.uniform(0, 1 - w) * 640, rng.uniform(0, 1 - h) * 480
                frame = np.array([left, top, left + w * 640, top + h * 480])
                if not all(iou([frame], box)[0] > option for box in BOXES):
                    continue
                if centres_inside(frame, BOXES).any():
                    return tuple(frame)

    rng = np.random.default_rng(5)
    expected = np.array([plain(rng) for _ in range(1000)])
    ours = crops(BOXES, 4000)
    np.testing.assert_allclose(ours.mean(axis=0), expected.mean(axis=0), atol=14)
    np.testing.assert_allclose(ours.std(axis=0), expected.std(axis=0), atol=14)


def test_no_objects():
    frames = crops(np.zeros((0, 4)), 1000)
    whole = (frames == [0, 0, 640, 480]).all(axis=1).mean()
    assert 0.1 < whole < 0.2 and len(np.unique(frames, axis=0)) > 800


@pytest.mark.parametrize("width, height", [(1, 1), (2, 1), (1, 500), (3, 3)])
def test_tiny_images(width, height):
    for boxes in (np.zeros((0, 4)), np.array([[0, 0, width, height]])):
        frames = crops(boxes, 50, width, height)
        assert (frames[:, 2:] > frames[:, :2]).all() and (frames[:, 2:] <= [width, height]).all()


def test_deterministic():
    assert (crops(BOXES, 20, seed=7) == crops(BOXES, 20, seed=7)).all()
    assert (crops(BOXES, 20, seed=7) != crops(BOXES, 20, seed=8)).any()
