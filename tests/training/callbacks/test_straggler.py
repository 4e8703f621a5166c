"""Which rank is called slow, and when."""

from types import SimpleNamespace

import pytest

from gluon_ssd.recipe import Recipe
from gluon_ssd.training.callbacks import TrainBatch
from gluon_ssd.training.callbacks.straggler import StragglerReport, straggler
from gluon_ssd.training.distributed import World


@pytest.mark.parametrize(
    ("times", "named"),
    [
        ((0.2, 0.2), None),
        ((0.2, 0.25), None),
        ((0.2, 0.5, 0.21), "rank 1 on b is slow: 0.500 s of its own per step, the others 0.205 s"),
        ((0.5, 0.2), "rank 0 on a is slow: 0.500 s of its own per step, the others 0.200 s"),
        ((0.0, 0.004), None),
    ],
)
def test_who_is_slow(times, named):
    assert straggler(times, "abc") == named


def test_the_slow_rank_is_named_once_an_epoch():
    class Two(World):
        size = 2

        def gather(self, value):
            mean, host = value
            return [value, (mean + 1, "other")]

    lines = []
    report = StragglerReport(Two(), SimpleNamespace(say=lines.append))
    step = SimpleNamespace()
    report.started(SimpleNamespace(recipe=Recipe(log_every=1), bn_group=1, train_step=step))
    report.epoch_started(1)
    report.epoch_ended(1, {})
    assert lines == []
    for number in range(4):
        batch = TrainBatch(1, number, number + 1, 0.1, True, None)
        report.batch_started(batch)
        step.before_exchange()
        # Half a second for the images of each batch.
        report.batch_ended(batch, {"wait_share": 0.5, "seconds": number + 1})
        assert len(lines) == (number >= 2)
    assert lines[0].startswith("rank 1 on other is slow: 1.5")
    report.epoch_ended(1, {})
    report.epoch_started(2)
    report.epoch_ended(2, {})
    assert len(lines) == 1
