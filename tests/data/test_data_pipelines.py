"""Training and evaluation through the pipelines, from the command line."""

from __future__ import annotations

import csv
import json
import re
import time

import pytest
from small import TRAIN, refused, write_set


def losses(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return [row["loss"] for row in csv.DictReader(file)]


def test_synthetic_training_needs_no_data_set(cli, tmp_path):
    outcome = cli(*TRAIN, "--data-pipeline", "synthetic", "--limit-train", 6)
    assert outcome.status == 0, outcome
    log = (tmp_path / "run" / "train.log").read_text()
    assert "training on 6 images\n" in log and "in each epoch" not in log and "input bound" not in log
    outcome = cli("val", "run/checkpoints/last.ckpt", "--data-pipeline", "synthetic", "--limit", 5)
    assert outcome.status == 0 and "5 synthetic images in" in outcome.out
    assert not (tmp_path / "run" / "val").exists()


def test_other_pipelines_do_need_one(cli):
    refused(cli(*TRAIN, "--data-pipeline", "native"), "no data set", "--data")
    refused(cli(*TRAIN, "--data-pipeline", "dhali"), "'dhali'", "did you mean dali?")


@pytest.mark.parametrize("pipeline", ["dali", "synthetic"])
def test_the_pipeline_cannot_change_within_an_epoch(cli, tmp_path, pipeline):
    write_set(tmp_path / "data", count=8)
    assert cli(*TRAIN, "--data", "data").status == 0
    again = cli("train", "--resume", "--output", "run", "--data-pipeline", pipeline, "--max-steps", 2)
    refused(again, "data_pipeline cannot change from native", "--data-pipeline native")


@pytest.fixture
def dali():
    return pytest.importorskip("nvidia.dali")


@pytest.mark.parametrize(
    "options", [(), ("--layout", "NHWC", "--precision", "fp16", "--input-batch-multiplier", 2)]
)
def test_dali_trains_and_evaluates(cli, tmp_path, dali, options):
    write_set(tmp_path / "data")
    command = (*TRAIN, "--data", "data", "--data-pipeline", "dali", "--dali-workers", 1, *options)
    outcome = cli(*command)
    assert outcome.status == 0, outcome
    assert (tmp_path / "run" / "train_batch.jpg").is_file()
    scores = [json.loads((tmp_path / "run" / "val" / "scores.json").read_text())]
    for pipeline in ("dali", "native"):
        command = ("val", "run/checkpoints/last.ckpt", "--data-pipeline", pipeline, "--output", pipeline)
        assert cli(*command).status == 0
        scores.append(json.loads((tmp_path / pipeline / "scores.json").read_text()))
    assert [score["images"] for score in scores] == [4, 4, 4]
    assert abs(scores[1]["ap50"] - scores[2]["ap50"]) < 0.05


def test_dali_resumes_within_an_epoch_on_the_same_trajectory(cli, tmp_path, dali):
    write_set(tmp_path / "data", count=12)
    common = ("--recipe", "ssd_tiny/smoke", "--batch-size", 2, "--data", "data", "--data-pipeline", "dali")
    common += ("--eval-every", 0, "--epochs", 1)
    assert cli("train", *common, "--output", "whole", "--max-steps", 5).status == 0
    assert cli("train", *common, "--output", "halves", "--max-steps", 2).status == 0
    assert cli("train", "--resume", "--output", "halves", "--max-steps", 5).status == 0
    assert losses(tmp_path / "whole")[-1] == losses(tmp_path / "halves")[-1]


@pytest.mark.parametrize(("pipeline", "flag"), [("native", "--workers"), ("dali", "--dali-workers")])
def test_the_log_says_when_the_input_is_the_bottleneck(cli, tmp_path, request, monkeypatch, pipeline, flag):
    if pipeline == "dali":
        request.getfixturevalue("dali")
        from gluon_ssd.data.dali.loader import _Epoch as Slow
    else:
        from gluon_ssd.data.loader import _BatchJob as Slow
    run = Slow.run
    monkeypatch.setattr(Slow, "run", lambda self, number: time.sleep(0.8) or run(self, number))
    write_set(tmp_path / "data", count=8)
    command = (*TRAIN[:-4], "--max-steps", 3, "--output", "run", "--data", "data")
    assert cli(*command, "--data-pipeline", pipeline).status == 0
    log = (tmp_path / "run" / "train.log").read_text()
    found = re.search(rf"input bound: (\d+)% of the epoch was spent waiting for images; more {flag}\?", log)
    assert found and 30 <= int(found[1]) <= 100


def test_a_bad_image_ends_a_dali_training_with_one_line(cli, tmp_path, dali):
    write_set(tmp_path / "data")
    (tmp_path / "data" / "train" / "3.jpg").write_bytes(b"no picture")
    refused(cli(*TRAIN[:-4], "--output", "run", "--data", "data", "--data-pipeline", "dali"), "3.jpg")
    refused(
        cli(
            *TRAIN,
            "--data",
            "data",
            "--data-pipeline",
            "dali",
            "--input-jpg-decode",
            "cache",
            "--output",
            "two",
        ),
        "works on a GPU only",
    )
