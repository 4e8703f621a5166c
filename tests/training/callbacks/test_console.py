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
    said = []
    report = console.ConsoleReport(training, SimpleNamespace(stop=lambda: None, say=said.append))
    for epoch in (1, 2):
        report.epoch_ended(epoch, {})
    assert said == told
