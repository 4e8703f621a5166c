"""A training that was killed or stopped and resumed ends bit for bit where an uninterrupted one does."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from places import REPOSITORY

from gluon_ssd import Callback
from gluon_ssd.data.shapes import make_shapes
from gluon_ssd.recipe import load_recipe
from gluon_ssd.tensor_files.archive import read_archive
from gluon_ssd.training.train import run_training
from gluon_ssd.weights.checkpoint import read_checkpoint

# 14 images with objects in batches of 2, two of which make a step: 3 steps an epoch, one batch left over.
SETTINGS = {
    "epochs": 2,
    "max_steps": None,
    "batch_size": 2,
    "accumulate": 2,
    "eval_epochs": [2],
    "eval_batch_size": 2,
    "checkpoint_steps": 2,
    "save_every": 1,
    "warmup_epochs": 1,
    "decay_epochs": [1],
}
TIMES = {"images_per_second", "wait_share", "seconds"}

# Runs the command line with its own end built in: a signal at the nth call of a function.
VICTIM = """
import os, signal, sys
import numpy as np
from gluon_ssd.cli import main
from gluon_ssd.predict import Detector
from gluon_ssd.training import evaluator
from gluon_ssd.training.step import TrainStep

def die_at(owner, name, nth, when=lambda *args: True, by=signal.SIGKILL):
    original, seen = getattr(owner, name), []
    def wrapped(*args, **kwargs):
        if when(*args):
            seen.append(1)
            if len(seen) == nth:
                os.kill(os.getpid(), by)
        return original(*args, **kwargs)
    setattr(owner, name, wrapped)

def to(name):
    return lambda old, new: os.path.basename(new) == name

{moment}
sys.exit(main(sys.argv[1:]))
"""

MOMENTS = {
    "before the first checkpoint": "die_at(TrainStep, '__call__', 2)",
    "in an epoch, with half of a gradient gathered": "die_at(TrainStep, '__call__', 10)",
    "halfway through writing a checkpoint": "die_at(np.lib.format, 'write_array', 250)",
    "before a written checkpoint has its name": "die_at(os, 'replace', 3, to('last.ckpt'))",
    "between the checkpoint to keep and the last": (
        "die_at(os, 'replace', 1, lambda old, new: to('last.ckpt')(old, new)"
        " and os.path.exists(os.path.join(os.path.dirname(new), 'epoch_002.ckpt')))"
    ),
    "in evaluation": "die_at(Detector, 'detect_batch', 2)",
    "between the best checkpoint and the last": "die_at(evaluator, 'write_evaluation', 1)",
}

# Signals that leave time to save, where they come, and the epoch, batch and step that are saved then.
STOPS = {
    "in the first batch": (signal.SIGTERM, "TrainStep, '__call__', 1", (1, 2, 1)),
    "with half of a gradient gathered": (signal.SIGINT, "TrainStep, '__call__', 10", (2, 4, 5)),
    "in the last batch of an epoch": (signal.SIGTERM, "TrainStep, '__call__', 6", (2, 0, 3)),
    "halfway through writing a checkpoint": (signal.SIGINT, "np.lib.format, 'write_array', 250", (2, 0, 3)),
    "in evaluation": (signal.SIGTERM, "Detector, 'detect_batch', 2", (3, 0, 6)),
    "between the best checkpoint and the last": (
        signal.SIGINT,
        "evaluator, 'write_evaluation', 1",
        (3, 0, 6),
    ),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp("resume") / "data", train=16, val=4, size=(96, 128))


def train(data, output, **changes):
    values = {**SETTINGS, "data": str(data), "output": str(output), **changes}
    return run_training(load_recipe("ssd_tiny/smoke", values), quiet=True)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert train(data, folder).steps == 6
    return folder


def metrics(run):
    with open(run / "metrics.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def same_checkpoint(one, other):
    (arrays, state), (others, other_state) = read_archive(one), read_archive(other)
    assert sorted(arrays) == sorted(others)
    assert any(name.startswith("optimizer/") for name in arrays)
    different = [name for name in arrays if arrays[name].tobytes() != others[name].tobytes()]
    assert different == []
    assert state["progress"] == other_state["progress"]


def same_run(run, whole):
    names = sorted(path.name for path in (whole / "checkpoints").iterdir())
    assert names == ["best.ckpt", "epoch_001.ckpt", "epoch_002.ckpt", "last.ckpt"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == names
    for name in names:
        same_checkpoint(run / "checkpoints" / name, whole / "checkpoints" / name)
    assert metrics(run) == metrics(whole)
    assert json.loads((run / "val/detections.json").read_text()) == json.loads(
        (whole / "val/detections.json").read_text()
    )
    assert list(run.rglob(".*")) == []


def start(code, data, output, **options):
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in SETTINGS.items() if "_epochs" not in key]
    flags += [
        "--warmup-epochs=1",
        "--decay-epochs",
        "1",
        "--eval-epochs",
        "2",
        "--data",
        data,
        "--output",
        output,
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code, "train", "--recipe", "ssd_tiny/smoke", *map(str, flags)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, **options)


def some_once(moments, everywhere):
    """A case for each moment. Those not in ``everywhere`` run on one Python, because they are slow."""
    return [pytest.param(key, marks=[] if key in everywhere else pytest.mark.once) for key in moments]


@pytest.mark.parametrize(
    "moment", some_once(MOMENTS, ("halfway through writing a checkpoint", "in evaluation"))
)
def test_killed_and_resumed(data, whole, cli, tmp_path, moment):
    run = tmp_path / "run"
    process = start(VICTIM.format(moment=MOMENTS[moment]), data, run)
    assert process.wait(timeout=120) == -signal.SIGKILL
    assert cli("train", "--resume", "--output", run).status == 0
    same_run(run, whole)


@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize("moment", some_once(STOPS, ("with half of a gradient gathered", "in evaluation")))
def test_stopped_and_resumed(data, whole, cli, tmp_path, moment):
    run, (number, place, saved) = tmp_path / "run", STOPS[moment]
    code = VICTIM.format(moment=f"die_at({place}, by={int(number)})")
    process = start(code, data, run, stderr=subprocess.PIPE, text=True)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, err
    progress = read_checkpoint(run / "checkpoints/last.ckpt").progress
    assert (progress.epoch, progress.batch, progress.step) == saved
    word = "interrupted" if number == signal.SIGINT else "interrupted by SIGTERM"
    where = f"in epoch {saved[0]}" if saved[1] else f"after epoch {saved[0] - 1}"
    advice = f"its state is saved; to go on: gluon-ssd train --resume --output {run}"
    assert err == f"{word} {where}, step {saved[2]}; {advice}\n"
    assert cli("train", "--resume", "--output", run).status == 0
    same_run(run, whole)


def test_killed_from_outside_and_resumed(data, whole, cli, tmp_path):
    run = tmp_path / "run"
    process = start("import sys; from gluon_ssd.cli import main; main(sys.argv[1:])", data, run)
    deadline = time.monotonic() + 120
    while not (run / "metrics.csv").is_file() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert cli("train", "--resume", "--output", run).status == 0
    same_run(run, whole)


def test_epochs_can_be_added(data, whole, tmp_path):
    run = tmp_path / "run"
    assert train(data, run, epochs=1).steps == 3
    assert train(data, run, resume=True).steps == 6
    same_run(run, whole)


@pytest.mark.once
@pytest.mark.parametrize("steps", [3, 4])
def test_steps_can_be_added(data, whole, tmp_path, steps):
    """Also when they ran out in the middle of an epoch, which is then finished, not skipped."""
    run = tmp_path / "run"
    assert train(data, run, max_steps=steps, eval_epochs=None).steps == steps
    assert metrics(run)[-1]["map"] != ""
    assert train(data, run, resume=True).steps == 6
    last, last_of_whole = (read_archive(folder / "checkpoints" / "last.ckpt") for folder in (run, whole))
    assert last[1]["progress"]["step"] == 6
    assert all(np.array_equal(last[0][name], array) for name, array in last_of_whole[0].items())
    assert metrics(run)[-1] == metrics(whole)[-1]


@pytest.mark.once
def test_a_cosine_goes_on_with_batches_of_another_size(data, tmp_path):
    """Its steps so far were of the old size: counted as they are, the cosine would be over, and lr 0."""
    settings = {"epochs": 4, "lr_schedule": "cosine", "warmup_steps": 0, "lr": 0.001, "eval_epochs": None}
    settings.update(eval_every=0, save_every=0, checkpoint_steps=None)
    run = tmp_path / "run"
    assert train(data, run, **settings, batch_size=1, max_steps=14).steps == 14
    train(data, run, **settings, batch_size=7, accumulate=1, resume=True)
    # Two steps an epoch; what is written down of an epoch is the rate of its last step, here the 6th of 8.
    rate = 0.001 * 7 / 32 * (1 + math.cos(math.pi * 5 / 8)) / 2
    assert float(metrics(run)[2]["lr"]) == pytest.approx(rate, rel=1e-4)


@pytest.mark.once
def test_an_epoch_ends_where_it_resumes_at_its_last_batch(tmp_path):
    """Images have gone meanwhile; of an odd number of batches one belongs to no update."""
    data, run = make_shapes(tmp_path / "data", train=8, val=4, size=(96, 128)), tmp_path / "run"
    settings = {"batch_size": 1, "eval_epochs": None, "eval_every": 0}
    path = data / "annotations/instances_train.json"
    content = json.loads(path.read_text())
    filled = sorted({row["image_id"] for row in content["annotations"]})
    assert train(data, run, **settings, epochs=1, max_steps=2).steps == 2
    assert len(filled) >= 6
    content["images"] = [row for row in content["images"] if row["id"] in filled[:5]]
    content["annotations"] = [row for row in content["annotations"] if row["image_id"] in filled[:5]]
    path.write_text(json.dumps(content))
    assert train(data, run, **settings, resume=True).steps == 4


class Reached(Callback):
    """Says after the first batch that the target is reached, as scores of another process may at any time."""

    def started(self, info):
        self.progress = info.progress

    def batch_ended(self, batch, values):
        self.progress.best_map = 1.0


def test_a_run_never_ends_between_two_batches_of_one_update(data, tmp_path):
    recipe = {**SETTINGS, "data": str(data), "output": str(tmp_path / "run"), "target_map": 0.9}
    run_training(load_recipe("ssd_tiny/smoke", recipe), True, [Reached()])
    progress = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt").progress
    assert (progress.batch, progress.step) == (2, 1)


def test_resuming_what_is_complete_changes_nothing(whole, cli):
    before = {p: p.read_bytes() for p in whole.rglob("*") if p.is_file() and p.name != "train.log"}
    result = cli("train", "--resume", "--output", whole)
    assert (result.status, result.err) == (0, "")
    assert "nothing left to train; the run ended at step 6" in result.out
    after = {p: p.read_bytes() for p in whole.rglob("*") if p.is_file() and p.name != "train.log"}
    assert after == before


@pytest.mark.parametrize(("flag", "value"), [("--batch-size", 3), ("--seed", 5), ("--accumulate", 1)])
def test_the_order_of_images_cannot_change_within_an_epoch(data, cli, tmp_path, flag, value):
    run = tmp_path / "run"
    train(data, run, max_steps=1)
    before = (run / "checkpoints/last.ckpt").read_bytes()
    result = cli("train", "--resume", "--output", run, "--max-steps", "none", flag, value)
    assert result.status == 2
    assert "last.ckpt: stands in the middle of epoch 1, where " in result.err
    assert f"; resume with {flag} " in result.err
    assert (run / "checkpoints/last.ckpt").read_bytes() == before


def test_the_weights_a_run_started_from_may_be_gone(data, whole, cli, tmp_path):
    start_from = tmp_path / "start.ckpt"
    start_from.write_bytes((whole / "checkpoints/best.ckpt").read_bytes())
    train(data, tmp_path / "run", weights=str(start_from), max_steps=1)
    start_from.unlink()
    assert cli("train", "--resume", "--output", "run", "--max-steps", 2).status == 0


@pytest.mark.once
def test_adam_goes_on_where_it_was(data, tmp_path):
    """Its correction of the first steps depends on how many there were."""
    adam = {"optimizer": "adam", "lr": 1e-3, "eval_epochs": None, "eval_every": 0}
    train(data, tmp_path / "whole", **adam)
    train(data, tmp_path / "run", **adam, max_steps=4)
    train(data, tmp_path / "run", **adam, resume=True)
    same_checkpoint(tmp_path / "run/checkpoints/last.ckpt", tmp_path / "whole/checkpoints/last.ckpt")


def test_another_optimizer_cannot_take_over(data, whole, cli, tmp_path):
    before = (whole / "checkpoints/last.ckpt").read_bytes()
    result = cli("train", "--resume", "--output", whole, "--epochs", 3, "--optimizer", "adam")
    assert result.status == 2
    assert "last.ckpt: its optimizer state has no ssd0_" in result.err
    assert (whole / "checkpoints/last.ckpt").read_bytes() == before
