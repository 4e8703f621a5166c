"""What a training says on the console, apart from what `test_training` reads in train.log."""

from types import SimpleNamespace

import pytest

from gluon_ssd.machine import SHARED_ADVICE, OtherPrograms
from gluon_ssd.training.callbacks import console
from gluon_ssd.training.distributed import World


@pytest.mark.parametrize(
    ("warning", "size", "told"),
    [
        ("others took 40%", 1, [f"epoch 1: others took 40%; {SHARED_ADVICE}"]),
        (None, 1, []),
        # The other ranks are programs as well, and no trouble.
        ("others took 40%", 2, []),
    ],
)
def test_a_shared_machine_is_told_of_once(monkeypatch, warning, size, told):
    monkeypatch.setattr(OtherPrograms, "warning", lambda self: warning)
    monkeypatch.setattr(console, "epoch_lines", lambda *args: [])
    world = World()
    monkeypatch.setattr(world, "size", size)
    training = SimpleNamespace(world=world, recipe=None, step=SimpleNamespace(scale=None))
    monkeypatch.setattr(console.ConsoleReport, "_left", lambda self: None)
    said = []
    report = console.ConsoleReport(training, SimpleNamespace(stop=lambda: None, say=said.append))
    for epoch in (1, 2):
        report.epoch_ended(epoch, {})
    assert said == told


@pytest.mark.parametrize(
    ("accumulate", "max_steps", "step", "left"),
    # 30 seconds for the steps after the tenth, of 40 in all: 4 epochs of 10 batches, or of 20 in twos.
    [(1, None, 20, 60.0), (2, None, 20, 60.0), (1, 25, 20, 15.0), (1, 25, 25, 0.0), (1, None, 10, None)],
)
def test_the_end_of_the_run_is_foreseen_from_the_steps_of_this_process(
    monkeypatch, accumulate, max_steps, step, left
):
    recipe = SimpleNamespace(epochs=4, accumulate=accumulate, max_steps=max_steps)
    training = SimpleNamespace(recipe=recipe, batches=10 * accumulate, progress=SimpleNamespace(step=10))
    training.loader = SimpleNamespace(tell_skipped=lambda say: None)
    monkeypatch.setattr(console, "opening_lines", lambda *args: [])
    seconds = iter((100.0, 130.0))
    monkeypatch.setattr(console.time, "perf_counter", lambda: next(seconds))
    report = console.ConsoleReport(training, SimpleNamespace(say=None))
    report.started(training)
    training.progress.step = step
    assert report._left() == left


def test_an_epoch_tells_when_the_run_will_end():
    recipe = SimpleNamespace(epochs=9, data_pipeline="native")
    values = {"loss": 2.5, "lr": 0.01, "images_per_second": 7.0, "wait_share": 0, "seconds": 61}
    (line,) = console.epoch_lines(recipe, 3, values, None, 366.0)
    assert line.startswith("epoch 3/9  loss 2.500  lr 0.01  images/s 7.0  mem ")
    assert line.endswith("  time 1:01  ETA 6:06")
