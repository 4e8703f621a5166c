"""A run folder that version 0.1.0 left: it loads, detects, and trains on.

The checkpoint holds ssd_tiny after two steps on the `shapes` of conftest.py, with Adam's state; to be small,
every array repeats its first 64 values.
"""

import csv
import shutil

import numpy as np
import pytest
from golden import seeded
from places import VECTORS

from gluon_ssd import Detector, load

OLD = VECTORS / "run_0.1.0"


def test_its_network_computes_what_it_did():
    net = load(OLD, device="cpu")
    assert (net.model_name, len(net.classes), net.input_size) == ("ssd_tiny", 6, (192, 192))
    image = (seeded.image_input(3, (1, 3, 192, 192))[0].transpose(1, 2, 0) * 40 + 128).clip(0, 255)
    found = Detector(net, max_detections=20)(image.astype(np.uint8))
    assert len(found) == 20
    np.testing.assert_allclose(found.scores[0], 0.14844282, rtol=1e-4)
    # Away from the edges every cell of the finest map, 8 pixels apart, has the same box and score. Which of
    # them comes first is not said; where in its cell it lies is.
    left, top, right, bottom = found.xyxy[0]
    np.testing.assert_allclose([left % 8, top % 8], [5.6531, 7.38177], atol=1e-2)
    np.testing.assert_allclose([right - left, bottom - top], [12.7915, 25.43531], atol=1e-2)
    assert found.class_ids[:4].tolist() == [3, 3, 3, 3]


def test_its_training_goes_on(cli, shapes, tmp_path):
    shutil.copytree(OLD, tmp_path / "run")
    flags = ("--data", shapes, "--epochs", 2, "--max-steps", 3, "--eval-every", 0)
    outcome = cli("train", "--resume", "--output", "run", *flags)
    assert outcome.status == 0, outcome.err
    assert "resumed at epoch 2, step 2" in outcome.out
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "2"), ("2", "3")]
    assert float(rows[0]["cls_loss"]) == pytest.approx(23.6537) and float(rows[1]["loss"]) > 0
