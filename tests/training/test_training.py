"""The training loop: when it stops, what it says, and what is left when something goes wrong."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time

import mxnet as mx
import numpy as np
import pytest
from places import REPOSITORY
from small import files, refused

from gluon_ssd.model_zoo import get_model
from gluon_ssd.nn import compute_precision
from gluon_ssd.recipe import Recipe, load_recipe
from gluon_ssd.tensor_files.archive import read_archive
from gluon_ssd.training import evaluator
from gluon_ssd.training.callbacks import console
from gluon_ssd.training.callbacks import metrics as metrics_module
from gluon_ssd.training.step import TrainStep
from gluon_ssd.training.train import run_training
from gluon_ssd.weights.checkpoint import read_checkpoint

QUICK = {"batch_size": 4, "max_steps": None, "epochs": 4, "limit_val": 2}


def train(data, output, **changes):
    values = {**QUICK, "data": str(data), "output": str(output), **changes}
    return run_training(load_recipe("ssd_tiny/smoke", values), quiet=True)


def metrics(run):
    with open(run / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def scored(monkeypatch):
    """Makes evaluations quick: they give the mAPs of the list, one after the other."""
    given = []

    class Scores:
        images, best = 2, None

        def __init__(self, value):
            self.map, self.stats = value, {"ap50": value}

    class Evaluation:
        def __init__(self, value):
            self.scores = Scores(value)

    monkeypatch.setattr(evaluator, "evaluate", lambda *args, **kwargs: Evaluation(given.pop(0)))
    monkeypatch.setattr(evaluator, "write_evaluation", lambda *args: None)
    monkeypatch.setattr(console, "score_table", lambda scores: "")
    monkeypatch.setattr(metrics_module, "plot_metrics", lambda *args: None)
    return given


def test_the_run_folder(small_run):
    assert sorted(path.name for path in small_run.iterdir()) == [
        "checkpoints",
        "metrics.csv",
        "metrics.png",
        "recipe.yaml",
        "report.html",
        "run.json",
        "train.log",
        "train_batch.jpg",
        "val",
    ]
    recipe = Recipe.from_yaml(small_run / "recipe.yaml")
    assert (recipe.model, recipe.batch_size, recipe.max_steps, recipe.resume) == ("ssd_tiny", 4, 2, False)
    row = metrics(small_run)[0]
    assert (row["epoch"], row["step"]) == ("1", "2")
    assert float(row["loss"]) == pytest.approx(float(row["cls_loss"]) + float(row["box_loss"]), rel=1e-4)
    assert json.loads((small_run / "val/scores.json").read_text())["images"] == 4


def test_it_stops_at_the_target_and_a_resumed_run_knows(shapes, scored, cli, tmp_path):
    scored += [0.1, 0.5]
    result = train(shapes, tmp_path / "run", eval_every=1, target_map=0.4)
    assert (result.reached_target, result.best_map, result.steps) == (True, 0.5, 4)
    again = cli("train", "--resume", "--output", "run")
    assert again.status == 0
    assert "reached the target mAP 0.4 in epoch 2" in again.out


def test_the_best_checkpoint_is_kept(shapes, scored, tmp_path):
    scored += [0.1, 0.3, 0.2, 0.3]
    result = train(shapes, tmp_path / "run", eval_every=1)
    best, last = (
        read_checkpoint(tmp_path / "run/checkpoints" / f"{name}.ckpt").progress for name in ("best", "last")
    )
    assert (result.best_map, best.best_epoch, best.step) == (0.3, 2, 4)
    assert (last.best_map, last.best_epoch, last.step) == (0.3, 2, 8)


def test_patience_counts_evaluations_in_a_row_without_a_better_map(shapes, scored, tmp_path):
    scored += [0.2, 0.1, 0.3, 0.3, 0.2, 0.4, 0.4]
    result = train(shapes, tmp_path / "run", patience=2, epochs=14, eval_every=2)
    assert (result.best_map, result.steps, result.reached_target) == (0.3, 20, False)
    assert scored == [0.4, 0.4]
    log = (tmp_path / "run/train.log").read_text()
    assert "no better mAP in 2 evaluations in a row (patience 2); the best is that of epoch 6" in log
    # It stays over when it is resumed, and goes on where it is given more patience.
    train(shapes, tmp_path / "run", patience=2, epochs=14, eval_every=2, resume=True)
    assert len(scored) == 2
    result = train(shapes, tmp_path / "run", patience=None, epochs=14, eval_every=2, resume=True)
    assert result.best_map == 0.4 and not scored


def test_a_run_without_patience_goes_to_its_end(shapes, scored, tmp_path):
    scored += [0.3, 0.2, 0.1]
    assert train(shapes, tmp_path / "run", epochs=3, eval_every=1).steps == 6
    assert [row["map"] for row in metrics(tmp_path / "run")] == ["0.3", "0.2", "0.1"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"eval_every": 3}, ["", "", "0.1", "0.2"]),
        ({"eval_epochs": [2]}, ["", "0.1", "", ""]),
        ({"eval_every": 0}, ["", "", "", ""]),
        ({"eval_every": 3, "max_steps": 3}, ["", "0.1"]),
        ({"eval_epochs": [1, 4], "max_steps": 3}, ["0.1", ""]),
    ],
)
def test_when_it_evaluates(shapes, scored, tmp_path, changes, expected):
    scored += [0.1, 0.2]
    train(shapes, tmp_path / "run", **changes)
    assert [row["map"] for row in metrics(tmp_path / "run")] == expected


def test_a_run_that_starts_late_does_only_the_later_epochs(shapes, scored, tmp_path):
    scored += [0.1, 0.2]
    train(shapes, tmp_path / "run", eval_every=1, start_epoch=3, warmup_epochs=2)
    rows = metrics(tmp_path / "run")
    assert [row["epoch"] for row in rows] == ["3", "4"] and [row["map"] for row in rows] == ["0.1", "0.2"]
    # Two batches an epoch: the warm-up of the first two is over.
    assert [row["step"] for row in rows] == ["6", "8"]
    assert len({row["lr"] for row in rows}) == 1


def test_a_trace_of_some_steps(shapes, tmp_path, cli):
    train(shapes, tmp_path / "run", eval_every=0, epochs=2, profile=[2, 3])
    events = json.loads((tmp_path / "run/profile.json").read_text())["traceEvents"]
    names = [event.get("name", "") for event in events if event.get("ph") == "B"]
    # Two of the four steps; names of operators that run together are joined.
    forward = [name for name in names if "Pooling" in name.split(",")]
    assert len(forward) == 2 and "BatchNorm" in forward[0]
    result = cli("train", "--recipe", "ssd_tiny/smoke", "--data", shapes, "--output", "x", "--profile", 5, 4)
    refused(result, "profile is [5, 4]; give the first and the last step")


def test_checkpoints_to_keep(shapes, tmp_path):
    train(shapes, tmp_path / "run", eval_every=0, save_every=3)
    names = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert names == ["epoch_003.ckpt", "last.ckpt"]


def test_the_epochs_loss_is_the_mean_of_its_batches(shapes, tmp_path, monkeypatch):
    """The losses are read one batch late; here they are also read at once."""
    seen = []
    original = TrainStep.__call__

    def step(self, *args):
        losses = original(self, *args)
        seen.append([float(loss.asscalar()) for loss in losses])
        return losses

    monkeypatch.setattr(TrainStep, "__call__", step)
    train(shapes, tmp_path / "run", eval_every=0, epochs=2, checkpoint_steps=1, batch_size=3)
    per_epoch = np.array(seen).reshape(2, 3, 3).mean(axis=1)
    for row, expected in zip(metrics(tmp_path / "run"), per_epoch):
        found = [float(row[name]) for name in ("loss", "cls_loss", "box_loss")]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def opening(cli, data, *flags):
    """What a training of one step says of its images."""
    once = ("--max-steps", 1, "--eval-every", 0, *flags)
    result = cli("train", "--recipe", "ssd_tiny/smoke", "--data", data, *once)
    assert result.status == 0, result
    return [line for line in result.out.splitlines() if "training on" in line or "in each epoch" in line]


def test_it_says_which_images_an_epoch_has(shapes, cli):
    empty = "2 images without objects are left out"
    assert opening(cli, shapes, "--batch-size", 1) == [f"training on 10 images; {empty}"]
    rest = "is not full and is left out; the order is new in each epoch, so that every image has its turn"
    assert opening(cli, shapes, "--batch-size", 4) == [
        f"training on 10 images; {empty}",
        f"8 images in each epoch: the last batch of 4 {rest}",
    ]
    assert opening(cli, shapes, "--batch-size", 2, "--accumulate", 2, "--limit-train", 6) == [
        "training on 6 images (limit_train: the first 6 of 12)",
        f"4 images in each epoch: the last global batch of 4 {rest}",
    ]


def poison(monkeypatch, nth):
    """The nth batch trains on box targets of NaN."""
    original, calls = TrainStep.__call__, []

    def step(self, images, targets, lr):
        calls.append(1)
        if len(calls) == nth:
            targets = [targets[0], targets[1] * float("nan")]
        return original(self, images, targets, lr)

    monkeypatch.setattr(TrainStep, "__call__", step)


@pytest.mark.parametrize("number", [0, 1])
def test_a_loss_that_is_not_finite(shapes, cli, tmp_path, monkeypatch, number):
    run = tmp_path / "run"
    train(shapes, run, epochs=1, eval_every=0)
    before = files(run / "checkpoints")
    poison(monkeypatch, number + 1)
    result = cli("train", "--resume", "--output", run, "--epochs", 3)
    refused(
        result,
        f"the loss is not finite in epoch 2, batch {number}: loss nan, cls_loss ",
        ", box_loss nan",
        "; lr 0.0003",
        "; images ",
        f"; the batch is in {run}/nonfinite_batch.npz; try a lower lr or a longer warm-up",
    )
    assert files(run / "checkpoints") == before
    with np.load(run / "nonfinite_batch.npz") as saved:
        ids = result.err.split("; images ")[1].split("; ")[0]
        assert ids == ", ".join(map(str, saved["image_ids"]))
        assert saved["images"].shape == (4, 3, 192, 192)
        assert np.isnan(saved["loss"])
        assert {"boxes", "labels", "sizes", "lr"} <= set(saved.files)


def test_a_learning_rate_that_is_far_too_high(shapes, cli, tmp_path):
    flags = ("--lr", 1e20, "--batch-size", 2, "--eval-every", 0, "--output", "run")
    result = cli("train", "--recipe", "ssd_tiny/smoke", "--data", shapes, *flags)
    assert result.status == 2
    assert "is not finite" in result.err and result.err.endswith("; try a lower lr or a longer warm-up\n")
    assert result.err.count("\n") == 1
    assert files(tmp_path / "run/checkpoints") == {}


def test_parameters_that_overflow_after_the_last_loss_are_not_saved(shapes, cli, tmp_path, monkeypatch):
    run = tmp_path / "run"
    train(shapes, run, epochs=1, eval_every=0)
    before = files(run / "checkpoints")
    original = TrainStep.__call__

    def step(self, *args):
        losses = original(self, *args)
        parameter = self.net.predictors[0].conv.bias
        parameter.set_data(parameter.data() * float("inf"))
        return losses

    monkeypatch.setattr(TrainStep, "__call__", step)
    result = cli("train", "--resume", "--output", run, "--epochs", 2, "--batch-size", 8)
    refused(result, "last.ckpt: not written, because parameters/ssd0_convpredictor0_conv0_bias is not finite")
    assert files(run / "checkpoints") == before


def losses_of(precision, steps=10):
    """Losses of ssd_tiny over ``steps`` on one batch: the same weights and images for every precision."""
    mx.random.seed(0)
    net = get_model("ssd_tiny", classes=["cat", "dog"])
    compute_precision(net, precision)
    step = TrainStep(net, net.loss())
    random = np.random.RandomState(0)
    corner = random.uniform(0, 0.6, (4, 3, 2))
    boxes = np.concatenate([corner, corner + random.uniform(0.1, 0.4, (4, 3, 2))], axis=2)
    labels = random.randint(0, 2, (4, 3)).astype(np.int32)
    targets = [mx.nd.array(target) for target in net.target_encoder()(boxes.astype(np.float32), labels)]
    images = mx.nd.array(random.randn(4, 3, *net.input_size))
    return np.array([float(step(images, targets, 0.002)[0].asscalar()) for _ in range(steps)])


def test_amp_trains_to_the_same_loss():
    """bfloat16 rounds by 2^-9 = 0.2% per value; over ten steps that take nine tenths off the loss the paths
    drift apart by a multiple of that. Allowed: 2% of the loss at the start (measured: 0.6%)."""
    single, mixed = losses_of(None), losses_of("bfloat16")
    assert single[-1] < 0.2 * single[0]
    assert not np.array_equal(single, mixed)
    np.testing.assert_allclose(mixed, single, rtol=0, atol=0.02 * single[0])


def test_amp_through_the_recipe_keeps_parameters_in_single_precision(shapes, tmp_path):
    train(shapes, tmp_path / "run", precision="amp", epochs=1)
    arrays, _ = read_archive(tmp_path / "run/checkpoints/last.ckpt")
    assert {array.dtype for name, array in arrays.items() if name.startswith("parameters/")} == {
        np.dtype(np.float32)
    }


@pytest.mark.usefixtures("sigint")
def test_ctrl_c(shapes, tmp_path):
    """One line, status 130, and a checkpoint of the step that it names."""
    flags = ("--epochs", "500", "--max-steps", "none", "--eval-every", "0", "--checkpoint-steps", "1")
    command = [sys.executable, "-m", "gluon_ssd", "train", "--recipe", "ssd_tiny/smoke", "--batch-size", "2"]
    command += [*flags, "--data", str(shapes), "--output", "run"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    last = tmp_path / "run/checkpoints/last.ckpt"
    deadline = time.monotonic() + 120
    while not last.is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("interrupted in epoch ")
    assert err.count("\n") == 1
    assert err.endswith("; its state is saved; to go on: gluon-ssd train --resume --output run\n")
    assert f", step {read_checkpoint(last).progress.step}; " in err
    assert not [path for path in last.parent.iterdir() if path.name.startswith(".")]


def test_an_interrupted_training_leaves_no_threads(shapes, cli, tmp_path, monkeypatch):
    original, calls = TrainStep.__call__, []

    def step(self, *args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, *args)

    monkeypatch.setattr(TrainStep, "__call__", step)
    recipe = ("--recipe", "ssd_tiny/smoke", "--batch-size", 2, "--data", shapes, "--output", "run")
    result = cli("train", *recipe)
    assert (result.status, result.err) == (
        130,
        "interrupted in epoch 1, step 2; no checkpoint was written yet\n",
    )
    assert [thread.name for thread in threading.enumerate() if "loader" in thread.name] == []


def test_plain_lines_when_redirected(shapes, cli, tmp_path):
    flags = ("--batch-size", 2, "--log-every", 2, "--epochs", 1, "--max-steps", "none", "--output", "run")
    result = cli("train", "--recipe", "ssd_tiny/smoke", "--data", shapes, *flags)
    assert result.status == 0
    assert "\x1b" not in result.out and "\r" not in result.out
    line = next(line for line in result.out.splitlines() if line.startswith("epoch 1/1 2/"))
    assert all(word in line for word in ("loss ", "cls ", "box ", "lr ", "images/s ", "mem ", "ETA "))
    assert "on 4 images" in result.out
    assert "4 images evaluated" in result.out
    logged = (tmp_path / "run/train.log").read_text()
    assert line in logged
