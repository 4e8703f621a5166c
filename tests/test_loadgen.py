"""A detector under MLPerf's load generator: its answers score what the detector scores."""

import json
import shutil

import numpy as np
import pytest
from small import refused

from gluon_ssd import Detector
from gluon_ssd.data import open_dataset
from gluon_ssd.runtimes.choices import SCENARIOS
from gluon_ssd.training.evaluate import detect_all, score_detections

GIVEN = ("--rounds", 2, "--seconds", 0, "--target-qps", 50, "--batch-size", 3)


@pytest.fixture(autouse=True)
def loadgen():
    reason = 'mlcommons-loadgen is not installed: pip install "gluon_ssd[loadgen]"'
    return pytest.importorskip("mlperf_loadgen", reason=reason)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_short_run(cli, small_run, shapes, tmp_path, scenario):
    done = cli("benchmark", small_run, "--loadgen", scenario, "--data", shapes, *GIVEN, "--output", "logs")
    assert done.status == 0, done.err
    assert f"Scenario : {scenario}" in done.out and "Result is : " in done.out
    assert (tmp_path / "logs" / "performance" / "mlperf_log_detail.txt").is_file()
    dataset = open_dataset(shapes, "val")
    wanted = score_detections(detect_all(Detector(small_run, fuse=True), dataset), dataset)
    assert f"{len(dataset)} images evaluated, {wanted.detections} detections" in done.out
    assert f"IoU 0.50:0.95  all     max 100   {wanted.stats['map']:7.4f}" in done.out


def test_an_answer_is_rows_of_seven_numbers(cli, small_run, shapes, tmp_path):
    """As MLPerf's own scripts read them: the index of the image, and boxes from the top."""
    cli("benchmark", small_run, "--loadgen", "Offline", "--data", shapes, *GIVEN, "--output", "logs")
    log = json.loads((tmp_path / "logs" / "accuracy" / "mlperf_log_accuracy.json").read_text())
    dataset = open_dataset(shapes, "val")
    detector = Detector(small_run)
    for entry in log:
        rows = np.frombuffer(bytes.fromhex(entry["data"]), np.float32).reshape(-1, 7)
        record = dataset.records[entry["qsl_idx"]]
        found = detector(record.path)
        assert (rows[:, 0] == entry["qsl_idx"]).all() and len(rows) == len(found)
        top = rows[:, 1] * record.height
        np.testing.assert_allclose(np.sort(top), np.sort(found.xyxy[:, 1]), atol=1e-2)
        assert set(rows[:, 6]) <= set(dataset.category_ids)


def test_an_image_that_cannot_be_read_ends_it(cli, small_run, shapes, tmp_path):
    copy = shutil.copytree(shapes, tmp_path / "copy")
    min((copy / "val").iterdir()).write_bytes(b"no picture")
    done = cli("benchmark", small_run, "--loadgen", "Offline", "--data", copy, *GIVEN, "--output", "o")
    refused(done, "not a picture that can be decoded")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--loadgen Offline", "--loadgen needs the images of a data set; give --data"),
        ("--loadgen Offline --batch-size 1 8", "drives one detector"),
        ("--seconds 3", "--seconds is for --loadgen"),
    ],
)
def test_flags_that_do_not_go_together(cli, flags, message):
    refused(cli("benchmark", "none", *flags.split()), message)
