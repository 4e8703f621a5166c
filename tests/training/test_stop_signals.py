"""SIGINT and SIGTERM: what becomes of them while a training runs, and what is put back afterwards."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from places import REPOSITORY

from gluon_ssd.errors import Interrupted
from gluon_ssd.recipe import load_recipe
from gluon_ssd.runs import checkpoint_path
from gluon_ssd.tensor_files.archive import read_archive
from gluon_ssd.training import stop_signals
from gluon_ssd.training.callbacks import Callback
from gluon_ssd.training.distributed import World
from gluon_ssd.training.stop_signals import StopSignals
from gluon_ssd.training.train import run_training
from gluon_ssd.weights.checkpoint import read_checkpoint

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handlers(sigint):
    """Whatever a test does, the handlers are those of before."""
    before = [signal.getsignal(number) for number in BOTH]
    yield before
    for number, handler in zip(BOTH, before):
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_raises_at_once_where_there_is_nothing_to_save(number, handlers):
    with pytest.raises(Interrupted) as caught, StopSignals(World()):
        send(number)
    assert (caught.value.number, caught.value.status, caught.value.together) == (number, 128 + number, False)
    assert [signal.getsignal(number) for number in BOTH] == handlers


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_waits_where_there_is(number):
    seen = []
    with pytest.raises(Interrupted) as caught, StopSignals(World()) as signals:
        with signals.held():
            seen.append(signals.asked())
            send(number)
            # Slurm and a script in between may both pass it on, and so may a launcher with a key press.
            send(number)
            seen.append(signals.asked())
        seen.append("not reached")
    assert seen == [False, True]
    assert (caught.value.number, caught.value.together) == (number, True)


def test_a_second_interrupt_does_not_wait(monkeypatch):
    monkeypatch.setattr(stop_signals, "_SAME_PRESS", -1.0)
    with pytest.raises(Interrupted) as caught, StopSignals(World()) as signals, signals.held():
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        send(signal.SIGINT)
        pytest.fail("it goes on")
    assert (caught.value.number, caught.value.together) == (signal.SIGINT, False)


def test_an_error_is_not_hidden_by_a_signal_that_waits():
    with pytest.raises(ValueError), StopSignals(World()) as signals, signals.held():
        send(signal.SIGTERM)
        raise ValueError


def test_a_signal_is_seen_where_a_library_makes_another_error_of_it():
    """MXNet's assignment to an array makes a TypeError of whatever is raised within."""
    with pytest.raises(Interrupted) as caught, StopSignals(World()):
        try:
            receive(signal.SIGTERM)
        except BaseException:
            raise TypeError("does not support assignment with non-array object") from None
    assert caught.value.number == signal.SIGTERM


def test_what_is_ignored_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(Interrupted) as caught, StopSignals(World()) as signals:
        with signals.held():
            send(signal.SIGINT)
            assert not signals.asked()
        send(signal.SIGTERM)
    assert caught.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_the_callers_own_handler_is_back_afterwards():
    received = []

    def mine(number, frame):
        received.append(number)

    signal.signal(signal.SIGINT, mine)
    with StopSignals(World()):
        assert signal.getsignal(signal.SIGINT) != mine
    send(signal.SIGINT)
    assert received == [signal.SIGINT]


def test_in_another_thread_nothing_changes(handlers):
    seen = []

    def train():
        with StopSignals(World()) as signals, signals.held():
            seen.extend([signals.asked(), [signal.getsignal(number) for number in BOTH]])

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert seen == [False, handlers]


def test_several_ranks_get_the_answer_of_the_step_before():
    class Two(World):
        size = 2

    with pytest.raises(Interrupted), StopSignals(Two()) as signals, signals.held():
        assert not signals.asked()
        send(signal.SIGTERM)
        assert [signals.asked(), signals.asked()] == [False, True]


def receive(number):
    """What Python does in the middle of the main thread's work when a signal has come."""
    signal.getsignal(number)(number, None)


def train(shapes, folder, *callbacks, **changes):
    changes = {"data": str(shapes), "output": str(folder), "batch_size": 4, "eval_batch_size": 1, **changes}
    run_training(load_recipe("ssd_tiny/smoke", changes), quiet=True, callbacks=callbacks)


def test_a_signal_leaves_no_thread_that_nobody_ends(shapes, tmp_path, monkeypatch):
    """Of one whose start is interrupted Python's executors know nothing; the process would never end."""
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        if thread.name.startswith("gluon_ssd-scorer"):
            receive(signal.SIGINT)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(Interrupted):
        train(shapes, tmp_path / "run", async_val=True)
    assert [thread.name for thread in threading.enumerate() if "gluon_ssd" in thread.name] == []


def test_an_evaluation_ends_after_the_batch_at_hand(shapes, tmp_path):
    seen = []

    class Interrupting(Callback):
        def evaluation_started(self, epoch):
            # Threads that read images are started and waited for meanwhile, with their locks.
            receive(signal.SIGTERM)
            seen.append("went on")

        def scored(self, epoch, scores):
            seen.append("scored")

    with pytest.raises(Interrupted) as caught:
        train(shapes, tmp_path / "run", Interrupting())
    assert seen == ["went on"] and caught.value.number == signal.SIGTERM
    stopped = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt").progress
    assert (stopped.step, stopped.evaluated) == (2, 0)


FLAGS = ("--recipe", "ssd_tiny/smoke", "--batch-size", "2", "--epochs", "500", "--max-steps", "none")


def start(shapes, folder, *flags, before=""):
    """A training in a process group of its own, as a terminal or Slurm would have it."""
    command = [sys.executable, "-m", "gluon_ssd", "train", *FLAGS, *flags, "--data", shapes, "--output=run"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        ["sh", "-c", f'{before} exec "$@"', "sh", *map(str, command)],
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(text, log):
    deadline = time.monotonic() + 120
    while not (log.is_file() and text in log.read_text()):
        assert time.monotonic() < deadline, f"{text} is not in {log}"
        time.sleep(0.02)


def test_a_training_under_nohup_ends_by_sigterm_alone(shapes, tmp_path):
    process = start(shapes, tmp_path, "--eval-every", "0", before="trap '' INT;")
    wait_for("epoch 1/500  loss", tmp_path / "run/train.log")
    process.send_signal(signal.SIGINT)
    wait_for("epoch 4/500  loss", tmp_path / "run/train.log")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143 and err.startswith("interrupted by SIGTERM "), err


def test_scores_computed_aside_are_waited_for(shapes, tmp_path):
    """Slurm's SIGTERM reaches the process that computes them, too."""
    process = start(shapes, tmp_path, "--async-val", "--eval-epochs", "1", "--log-every", "1000")
    wait_for("detections are made", tmp_path / "run/train.log")
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert err.startswith("interrupted by SIGTERM ") and err.count("\n") == 1, err
    stopped = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt").progress
    assert stopped.evaluated == 5 and stopped.best_map is not None
    changes = {"data": str(shapes), "batch_size": 2, "epochs": 500, "log_every": 1000, "eval_epochs": [1]}
    changes.update(max_steps=stopped.step, async_val=True, output=str(tmp_path / "whole"))
    run_training(load_recipe("ssd_tiny/smoke", changes), quiet=True)
    (arrays, state), (others, other) = (
        read_archive(tmp_path / name / "checkpoints/last.ckpt") for name in ("run", "whole")
    )
    assert state["progress"] == other["progress"]
    assert [name for name in arrays if arrays[name].tobytes() != others[name].tobytes()] == []


def test_the_command_to_go_on_with_can_be_copied(tmp_path):
    folder = tmp_path / "my runs"
    checkpoint_path(folder).parent.mkdir(parents=True)
    checkpoint_path(folder).touch()
    assert stop_signals.way_on(folder).endswith(f"gluon-ssd train --resume --output '{folder}'")
