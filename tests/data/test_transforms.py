"""Transforms: pixels, boxes, memory."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gluon_ssd.data import EvalTransform, Preprocess, Record, SSDTrainTransform
from gluon_ssd.data.colour import Colour
from gluon_ssd.data.transforms import FlipTrainTransform, Plan, follow
from gluon_ssd.errors import UserError

from .conftest import picture

BOX = np.array([[10, 20, 30, 40]], np.float32)
LABEL = np.array([3], np.int32)


def record(path, width, height, boxes=BOX, crowd=None):
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    crowd = np.zeros(len(boxes), bool) if crowd is None else np.array(crowd)
    return Record(1, path, width, height, boxes, np.arange(len(boxes), dtype=np.int32), crowd)


def test_evaluation_pixels():
    image = picture(60, 40)
    out, boxes, labels = EvalTransform(Preprocess((40, 60)))(image, BOX, LABEL)
    expected = (image / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert out.shape == (3, 40, 60) and out.dtype == np.float32 and out.flags.c_contiguous
    np.testing.assert_allclose(out, expected.transpose(2, 0, 1), atol=1e-5)
    np.testing.assert_allclose(boxes, [[1 / 6, 0.5, 0.5, 1.0]], rtol=1e-6)
    assert boxes.dtype == np.float32 and labels.tolist() == [3] and labels.dtype == np.int32


def test_output_goes_into_the_given_memory():
    batch = np.full((2, 3, 8, 8), 99, np.float32)
    out, *_ = EvalTransform(Preprocess((8, 8)))(picture(20, 20), out=batch[1])
    assert np.shares_memory(out, batch) and (batch[0] == 99).all() and (batch[1] != 99).all()


def test_an_image_without_objects_and_one_pixel():
    for transform in (EvalTransform(), SSDTrainTransform()):
        for image in (picture(50, 40), picture(50, 40)[:1, :1]):
            out, boxes, labels = transform(image)
            assert out.shape == (3, 300, 300) and np.isfinite(out).all()
            assert boxes.shape == (0, 4) and labels.shape == (0,)


def test_boxes_follow_crop_and_mirror():
    frame = (20, 10, 60, 50)
    boxes = np.array([[30, 20, 40, 30], [0, 0, 90, 90], [0, 0, 10, 10], [10, 20, 30, 40]], np.float32)
    labels = np.array([0, 1, 2, 3])
    kept, names = follow(Plan(frame), boxes, labels)
    # The last one's centre lies exactly on the border: outside.
    assert names.tolist() == [0, 1]
    np.testing.assert_allclose(kept, [[0.25, 0.25, 0.5, 0.5], [0, 0, 1, 1]])
    mirrored, _ = follow(Plan(frame, mirror=True), boxes, labels)
    np.testing.assert_allclose(mirrored, [[0.5, 0.25, 0.75, 0.5], [0, 0, 1, 1]])


def test_a_box_that_vanishes_in_rounding_is_left_out():
    sliver = np.array([[600.0, 10, np.nextafter(np.float32(600), np.float32(601)), 20]], np.float32)
    boxes, _ = follow(Plan((0, 0, 100000, 100), mirror=True), sliver, LABEL)
    assert len(boxes) == 0 or (boxes[:, 2] > boxes[:, 0]).all()


@pytest.mark.parametrize("seed", range(12))
def test_boxes_stay_on_their_objects(seed):
    """A bright rectangle on black: wherever the transform puts it, the box must be around it."""
    image = np.zeros((200, 320, 3), np.uint8)
    image[60:140, 90:200] = 255
    transform = SSDTrainTransform(Preprocess((100, 100), (0, 0, 0), (1, 1, 1)), jitter=None)
    out, boxes, labels = transform(
        image, np.array([[90, 60, 200, 140.0]]), LABEL, np.random.default_rng(seed)
    )
    assert labels.tolist() == [3]
    rows, columns = np.nonzero(out[0] > 0.5)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(boxes[0] * 100, seen, atol=1.01)


def test_training_is_random_by_generator_only():
    image, transform = picture(80, 60), SSDTrainTransform(Preprocess((32, 32)))
    first, again, other = (transform(image, BOX, LABEL, np.random.default_rng(k))[0] for k in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_mirror_share():
    transform = SSDTrainTransform()
    plans = [transform.plan(64, 64, BOX, np.random.default_rng(k)) for k in range(1000)]
    assert 0.45 < np.mean([plan.mirror for plan in plans]) < 0.55
    assert all(plan.colour is not None for plan in plans)
    assert SSDTrainTransform(mirror=1, jitter=None).plan(64, 64, BOX, np.random.default_rng(0)).mirror


def test_training_pixels_are_those_of_its_plan():
    image = picture(90, 70, seed=8)
    preprocess = Preprocess((70, 90), (0, 0, 0), (1, 1, 1))

    class Fixed(EvalTransform):
        def plan(self, width, height, boxes, rng):
            return Plan((0, 0, width, height), True, Colour(1.1, 1, 0, 0))

    out, *_ = Fixed(preprocess)(image)
    luma = np.clip(image[:, ::-1] @ np.array([0.299, 0.587, 0.114]) * 1.1, 0, 255)
    np.testing.assert_allclose(out * 255, np.stack([luma] * 3), atol=1.5)


def test_load_reads_the_file_and_leaves_crowds_out(tmp_path):
    path = tmp_path / "a.png"
    image = picture(60, 40)
    cv2.imwrite(str(path), image[..., ::-1])
    transform = EvalTransform(Preprocess((40, 60)))
    out = transform.empty()
    row = record(path, 60, 40, [[0, 0, 30, 20], [5, 5, 9, 9]], crowd=[True, False])
    boxes, labels = transform.load(row, np.random.default_rng(0), out)
    assert labels.tolist() == [1] and len(boxes) == 1
    np.testing.assert_array_equal(out, transform(image)[0])


@pytest.mark.parametrize("width, height, reduced", [(808, 600, True), (803, 600, False)])
def test_load_of_a_large_jpeg_reduced_is_nearly_the_full_one(tmp_path, monkeypatch, width, height, reduced):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), picture(width, height)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    row = record(path, width, height, [[100, 100, 400, 300]])
    transform = EvalTransform(Preprocess((60, 60)))
    small, full = transform.empty(), transform.empty()
    boxes, _ = transform.load(row, np.random.default_rng(0), small)
    monkeypatch.setattr("gluon_ssd.data.transforms.choose_reduction", lambda *_: 1)
    exact, _ = transform.load(row, np.random.default_rng(0), full)
    # One level of 255 is 0.017 after normalisation.
    assert np.abs(small - full).mean() < 0.02 and (small != full).any() == reduced
    np.testing.assert_allclose(exact, [[100 / width, 100 / height, 400 / width, 300 / height]], rtol=1e-6)
    np.testing.assert_array_equal(boxes, exact)


def test_boxes_stay_on_their_objects_in_a_reduced_crop(tmp_path):
    path = tmp_path / "a.jpg"
    image = np.zeros((1200, 1600, 3), np.uint8)
    image[401:803, 601:1205] = 255
    cv2.imwrite(str(path), image)
    row = record(path, 1600, 1200, [[601, 401, 1205, 803]])
    transform = SSDTrainTransform(Preprocess((64, 64), (0, 0, 0), (1, 1, 1)), jitter=None)
    for seed in range(12):
        out = transform.empty()
        boxes, _ = transform.load(row, np.random.default_rng(seed), out)
        rows, columns = np.nonzero(out[0] > 0.5)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(boxes[0] * 64, seen, atol=1.01)


def test_load_names_a_picture_of_another_size(tmp_path):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), picture(60, 40))
    transform = EvalTransform()
    with pytest.raises(UserError, match="a.jpg: the picture is 60x40 but its annotation says 40x60"):
        transform.load(record(path, 40, 60), np.random.default_rng(0), transform.empty())


def test_flip_transform_mirrors_half_of_the_pictures_and_does_nothing_else():
    image, flipped = picture(60, 40), 0
    plain, *_ = EvalTransform(Preprocess((32, 32)))(image)
    mirror, *_ = EvalTransform(Preprocess((32, 32)))(cv2.flip(image, 1))
    for seed in range(200):
        rng = np.random.default_rng(seed)
        out, boxes, labels = FlipTrainTransform(Preprocess((32, 32)))(image, BOX, LABEL, rng)
        turned = boxes[0, 0] > 0.4
        sides = [0.5, 5 / 6] if turned else [1 / 6, 0.5]
        np.testing.assert_allclose(boxes[0], [sides[0], 0.5, sides[1], 1], rtol=1e-6)
        np.testing.assert_allclose(out, mirror if turned else plain, atol=0.02)
        flipped += turned
    assert 80 < flipped < 120
