"""Scoring in a process of its own: the same results, in order, and nothing left behind."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from places import REPOSITORY

from gluon_ssd.recipe import load_recipe
from gluon_ssd.tensor_files.archive import read_archive
from gluon_ssd.training import evaluator
from gluon_ssd.training.callbacks import Callback, console
from gluon_ssd.training.coco_eval import Scores
from gluon_ssd.training.scorer import Scorer
from gluon_ssd.training.train import run_training

SETTINGS = {"batch_size": 4, "max_steps": None, "epochs": 3, "eval_every": 1, "limit_val": 3, "log_every": 1}
TIMES = {"images_per_second", "wait_share", "seconds"}


def train(data, output, callbacks=(), **changes):
    values = {**SETTINGS, "data": str(data), "output": str(output), **changes}
    return run_training(load_recipe("ssd_tiny/smoke", values), quiet=True, callbacks=callbacks)


class Curves(Callback):
    """Keeps the curves of every evaluation, of which TensorBoard's log draws precision and recall."""

    def __init__(self):
        self.counts = []

    def scored(self, epoch, scores):
        self.counts.append((scores.curves.found, scores.curves.right))


def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def metrics(run):
    with open(run / "metrics.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def test_the_same_run_as_with_scoring_in_between(shapes, tmp_path):
    runs = [tmp_path / name for name in ("between", "aside")]
    curves = [Curves(), Curves()]
    results = [
        train(shapes, run, [kept], async_val=aside) for run, kept, aside in zip(runs, curves, (False, True))
    ]
    assert results[0].best_map == results[1].best_map is not None
    assert metrics(runs[0]) == metrics(runs[1])
    assert len(curves[1].counts) == 3
    np.testing.assert_array_equal(curves[0].counts, curves[1].counts)
    assert [row["map"] != "" for row in metrics(runs[1])] == [True, True, True]
    for name in ("best", "last"):
        (arrays, state), (others, other) = (read_archive(run / f"checkpoints/{name}.ckpt") for run in runs)
        assert state["progress"] == other["progress"]
        assert all(arrays[key].tobytes() == others[key].tobytes() for key in others)
    files = [sorted(path.name for path in (run / "val").iterdir()) for run in runs]
    assert files[0] == files[1]
    detections = [(run / "val/detections.json").read_bytes() for run in runs]
    assert detections[0] == detections[1]
    log = (runs[1] / "train.log").read_text()
    order = [log.index(f"epoch {epoch}: mAP ") for epoch in (1, 2, 3)]
    assert order == sorted(order)
    assert children() == []


def test_record_files_are_scored_aside_too(cli, shapes, tmp_path):
    assert cli("prepare-records", shapes, "packed").status == 0
    result = train(tmp_path / "packed", tmp_path / "run", async_val=True, epochs=1)
    assert result.best_map is not None and (tmp_path / "run/val/detections.json").is_file()


@pytest.fixture
def scored(monkeypatch):
    """Scores of the list come one after the other, each only when it is waited for or at the second look."""
    given = []

    class Late:
        def __init__(self, *args):
            self.asked, self.looks = 0, 0

        def submit(self, found, seconds):
            self.asked += 1

        def results(self, wait):
            self.looks += 1
            if not self.asked or not (wait or self.looks % 2 == 0):
                return []
            self.asked -= 1
            value = given.pop(0)
            return [Scores({"map": value, "ap50": value}, (), 3, 1, None)]

        def close(self):
            pass

    monkeypatch.setattr(evaluator, "Scorer", Late)
    monkeypatch.setattr(console, "score_table", lambda scores: "")
    return given


def test_it_stops_as_soon_as_it_knows(shapes, scored, tmp_path):
    """Epoch 2's score comes after two of the three steps of epoch 3."""
    scored += [0.1, 0.5, 0.9]
    result = train(shapes, tmp_path / "run", async_val=True, target_map=0.4, epochs=9, batch_size=3)
    assert (result.reached_target, result.best_map) == (True, 0.5)
    best, last = (
        read_archive(tmp_path / f"run/checkpoints/{n}.ckpt")[1]["progress"] for n in ("best", "last")
    )
    per_epoch = best["step"] // 2
    assert (best["best_epoch"], best["best_map"]) == (2, 0.5)
    assert (last["epoch"], last["step"]) == (3, 2 * per_epoch + 2)
    again = train(shapes, tmp_path / "run", async_val=True, resume=True, target_map=0.4, batch_size=3)
    assert (again.reached_target, again.steps) == (True, last["step"])
    assert scored == [0.9]


def test_the_last_score_is_waited_for(shapes, scored, tmp_path):
    scored += [0.3]
    result = train(shapes, tmp_path / "run", async_val=True, epochs=1)
    assert result.best_map == 0.3
    assert read_archive(tmp_path / "run/checkpoints/last.ckpt")[1]["progress"]["best_map"] == 0.3


def test_scoring_that_fails_is_told(shapes, tmp_path):
    from gluon_ssd.data.opening import open_dataset

    scorer = Scorer(open_dataset(shapes, "val"), tmp_path / "val", None)
    try:
        scorer.submit({1: "no detections"}, 0.0)
        with pytest.raises(RuntimeError, match="scoring has failed:\nTraceback"):
            scorer.results(wait=True)
        scorer._process.kill()
        with pytest.raises(RuntimeError, match="the process that computes scores has ended"):
            scorer.submit({}, 0.0)
            scorer.results(wait=True)
    finally:
        scorer.close()
    assert children() == []


def test_nothing_outlives_a_killed_training(shapes, tmp_path):
    command = [sys.executable, "-m", "gluon_ssd", "train", "--recipe", "ssd_tiny/smoke", "--async-val"]
    command += ["--epochs", "500", "--max-steps", "none", "--eval-every", "1", "--limit-val", "1"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [*command, "--data", str(shapes), "--output", "run"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    listing = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 120
    while not listing.read_text().strip() and time.monotonic() < deadline:
        time.sleep(0.05)
    (scorer,) = listing.read_text().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    while Path(f"/proc/{scorer}").exists() and time.monotonic() < deadline:
        if "Z" in Path(f"/proc/{scorer}/stat").read_text().split(")")[1][:3]:
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{scorer}").exists()


def test_a_training_that_is_killed_before_it_asks_leaves_no_trace():
    begun = [sys.executable, "-m", "gluon_ssd.training.scorer", str(os.getpid())]
    # An empty request, and one of which half was sent.
    for sent in (b"", b"\x80\x04\x95\x10"):
        done = subprocess.run(begun, input=sent, cwd=REPOSITORY, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


def test_scores_that_nobody_waits_for_any_more_are_not_computed():
    """Its parent is another process than the training, which is gone."""
    command = [sys.executable, "-m", "gluon_ssd.training.scorer", "1"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.wait(60) == 1
