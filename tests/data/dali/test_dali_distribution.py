"""Training batches of the DALI and of the native loader are draws from one distribution.

Two-sample Kolmogorov-Smirnov distances stay below the critical value for p = 0.001, and means within four
standard errors, over at least 5,000 draws. Seeds are fixed.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("nvidia.dali")

from gluon_ssd.anchors import SSD300_COCO
from gluon_ssd.data import NativeLoader, Preprocess, SSDTrainTransform, crop, open_dataset
from gluon_ssd.data.batch import pad_objects
from gluon_ssd.data.dali import DaliLoader
from gluon_ssd.data.transforms import Plan, follow
from gluon_ssd.targets import SSDTargetEncoder

CROPS = ("area", "aspect", "left", "top", "kept")
COLOURS = ("mean", "deviation", "red - green", "blue - green")


def distance(first, second):
    """Kolmogorov-Smirnov distance of two samples."""
    values = np.sort(np.concatenate([first, second]))
    shares = [np.searchsorted(np.sort(sample), values, "right") / len(sample) for sample in (first, second)]
    return np.abs(shares[0] - shares[1]).max()


def assert_alike(name, first, second):
    assert len(first) == len(second) >= 5000
    critical = 1.95 * np.sqrt(2 / len(first))
    assert distance(first, second) < critical, name
    error = np.sqrt((np.var(first) + np.var(second)) / len(first))
    assert abs(np.mean(first) - np.mean(second)) < 4 * error, name


def shares(record):
    return (record.objects()[0] / np.float32([record.width, record.height] * 2)).astype(np.float32)


def native_crops(records, rounds):
    rng = np.random.default_rng(11)
    rows, objects = [], []
    for _ in range(rounds):
        for record in records:
            boxes, labels = record.objects()
            frame = crop.random_crop(record.width, record.height, boxes, rng, attempts=1)
            kept = follow(Plan(frame), boxes, labels)
            left, right = frame[0] / record.width, frame[2] / record.width
            top, bottom = frame[1] / record.height, frame[3] / record.height
            width, height = right - left, bottom - top
            rows.append((width * height, width / height, left, top, len(kept[1])))
            objects.append(kept)
    return np.array(rows), objects


def dali_crops(records, rounds):
    from nvidia.dali import Pipeline, fn

    from gluon_ssd.data.dali.graph import random_crop

    boxes, labels = [shares(record) for record in records], [record.objects()[1] for record in records]
    pipeline = Pipeline(len(records), 2, None, seed=11)
    with pipeline:
        inputs = fn.external_source(lambda: boxes), fn.external_source(lambda: labels)
        pipeline.set_outputs(*random_crop(*inputs, attempts=1))
    rows, objects = [], []
    for _ in range(rounds):
        anchors, shapes, kept, names = pipeline.run()
        for k in range(len(records)):
            (left, top), (width, height) = anchors.at(k), shapes.at(k)
            rows.append((width * height, width / height, left, top, len(names.at(k))))
            objects.append((kept.at(k).copy(), names.at(k).copy()))
    return np.array(rows, np.float64), objects


def positives(objects):
    """Default boxes per image with an object to find; every third of the fine grid's, to save time."""
    encode = SSDTargetEncoder(SSD300_COCO.xywh()[::3])
    counts = []
    for start in range(0, len(objects), 64):
        cls_targets, _ = encode(*pad_objects(objects[start : start + 64]))
        counts.extend((cls_targets > 0).sum(axis=1))
    return np.array(counts)


def test_crops_kept_objects_and_positives_are_alike(coco128):
    records = [record for record in open_dataset(coco128, "train").records if len(record.boxes)]
    rounds = 40
    native, native_objects = native_crops(records, rounds)
    dali, dali_objects = dali_crops(records, rounds)
    # Native crops are whole pixels: compared on a grid as coarse.
    for column, name in enumerate(CROPS):
        assert_alike(name, np.round(native[:, column], 2), np.round(dali[:, column], 2))
    whole = [(crops[:, 0] > 0.999).mean() for crops in (native, dali)]
    assert abs(whole[0] - whole[1]) < 4 * np.sqrt(0.5 / len(native))
    assert_alike("positives", positives(native_objects), positives(dali_objects))


@pytest.fixture
def ramps(coco_folder):
    """120 pictures, each a coloured ramp that is brighter on the right, with one object in the middle."""
    import cv2

    root = coco_folder([(k, 1, 16, 12, 32, 24) for k in range(1, 121)], count=120)
    rng = np.random.default_rng(4)
    for k in range(1, 121):
        colour = rng.uniform(30, 90, 3) + np.linspace(0, 100, 64)[:, None]
        picture = np.tile(colour.astype(np.uint8), (48, 1, 1))
        cv2.imwrite(str(root / "train" / f"{k}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 98])
    return open_dataset(root, "train")


def image_statistics(loader, epochs):
    rows = []
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        for batch in loader:
            pictures = batch.pictures()
            left, right = np.split(pictures.mean(axis=(1, 2)), 2, axis=1)
            channels = pictures.mean(axis=(2, 3))
            rows.append(
                np.stack(
                    [
                        pictures.mean(axis=(1, 2, 3)),
                        pictures.std(axis=(1, 2, 3)),
                        channels[:, 0] - channels[:, 1],
                        channels[:, 2] - channels[:, 1],
                        left.mean(axis=1) > right.mean(axis=1),
                    ],
                    axis=1,
                )
            )
    return np.concatenate(rows)


def test_mirroring_and_colours_are_alike(ramps):
    transform = SSDTrainTransform(Preprocess((16, 16)), attempts=1)
    native = image_statistics(NativeLoader(ramps, transform, 60, shuffle=True, seed=1), 45)
    dali = image_statistics(DaliLoader(ramps, transform, 60, shuffle=True, seed=1), 45)
    for column, name in enumerate(COLOURS):
        assert_alike(name, native[:, column], dali[:, column])
    for mirrored in (native[:, 4], dali[:, 4]):
        assert abs(mirrored.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(mirrored))


def test_the_same_draw_colours_alike():
    """Our matrix and DALI's operators, within the rounding of one level."""
    from nvidia.dali import Pipeline, fn

    from gluon_ssd.data.colour import Colour, ColourJitter, recolour
    from gluon_ssd.data.dali.graph import recolour as recolour_graph

    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    for values in (
        (1.1, 0.6, 1, 0),
        (0.9, 1.4, 1.5, 0),
        (1, 1, 1, 0.05),
        (1, 1, 0.5, -0.05),
        (1.1, 1.3, 1.4, 0.04),
        (1.1, 1.3, 1.4, 0.001, 128.0),
    ):
        jitter = ColourJitter(*((value, value) for value in values[:4]), *values[4:])
        pipeline = Pipeline(1, 1, None)
        with pipeline:
            pipeline.set_outputs(recolour_graph(fn.external_source(lambda: [picture], layout="HWC"), jitter))
        (result,) = pipeline.run()
        difference = np.abs(result.at(0).astype(int) - recolour(picture, Colour(*values)))
        assert difference.max() <= 1 and difference.mean() < 0.3
