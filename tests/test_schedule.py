import pytest

from gluon_ssd.engine.schedule import StepSchedule


def test_warm_up_is_a_straight_line_with_factor_zero():
    schedule = StepSchedule(lr=0.8, warmup_steps=4)
    assert [schedule(1, step) for step in (1, 2, 3, 4, 5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])


def test_warm_up_factor_shortens_the_way():
    # i of 4 steps: 0.8 - (4 - i) * 0.8 / (4 * 2)
    schedule = StepSchedule(lr=0.8, warmup_steps=4, warmup_factor=1)
    assert [schedule(1, step) for step in (1, 2, 4)] == pytest.approx([0.5, 0.6, 0.8])


def test_published_decay():
    schedule = StepSchedule(lr=0.0025, decay_epochs=(44, 55))
    rates = [schedule(epoch, 10**6) for epoch in (1, 44, 45, 55, 56, 65)]
    assert rates == pytest.approx([2.5e-3, 2.5e-3, 2.5e-4, 2.5e-4, 2.5e-5, 2.5e-5])


def test_no_warm_up_starts_at_the_full_rate():
    assert StepSchedule(lr=0.1)(1, 1) == 0.1
