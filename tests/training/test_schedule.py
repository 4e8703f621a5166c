from math import cos, pi

import pytest

from gluon_ssd.recipe import Recipe
from gluon_ssd.training.build import make_schedule
from gluon_ssd.training.schedule import CosineSchedule, StepSchedule


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


def test_warm_up_from_a_share_of_the_rate():
    # MLPerf's RetinaNet: x of 1000 iterations, from 0: 1e-4 * (0.001 * (1 - x / 1000) + x / 1000)
    schedule = StepSchedule(lr=1e-4, warmup_steps=1000, warmup_start=0.001)
    rates = [schedule(1, step) for step in (1, 251, 1000, 1001, 5000)]
    assert rates == pytest.approx([1e-7, 2.50750e-5, 9.99001e-5, 1e-4, 1e-4], rel=1e-6)


def test_warm_up_from_nothing():
    # DeepLearningExamples: iteration i of 300, from 0, has lr * i / 300
    schedule = StepSchedule(lr=0.0026, warmup_steps=300, warmup_start=0.0)
    rates = [schedule(1, step) for step in (1, 2, 151, 301)]
    assert rates == pytest.approx([0, 2.6e-3 / 300, 1.3e-3, 2.6e-3])


def test_a_cosine_goes_down_to_nothing():
    # Of 12 steps 4 warm up; then (1 + cos(pi k / 8)) / 2 for k from 0 to 7.
    schedule = CosineSchedule(lr=0.8, warmup_steps=4, total_steps=12)
    assert [schedule(1, step) for step in (1, 2, 4)] == pytest.approx([0.2, 0.4, 0.8])
    rates = [schedule(1, step) for step in (5, 7, 9, 11, 12, 13, 20)]
    assert rates == pytest.approx([0.8, 0.682842712, 0.4, 0.117157288, 0.030448187, 0, 0])


def test_a_cosine_ends_with_the_run():
    # 103 images in batches of 10 are 10 steps, of which the first epoch is the warm-up.
    recipe = Recipe(epochs=3, batch_size=10, optimizer="adam", lr=0.1, lr_schedule="cosine", warmup_epochs=1)
    schedule = make_schedule(recipe, 103)
    assert (schedule.warmup_steps, schedule.total_steps) == (10, 30)
    assert schedule(2, 11) == 0.1
    assert schedule(2, 21) == pytest.approx(0.05)
    assert 0 < schedule(3, 30) < 0.001


def test_a_run_that_goes_on_with_larger_batches_keeps_its_place():
    """After 4 of 8 epochs of 100 steps come epochs of 10: half of the cosine, and of a warm-up, is done."""
    cosine = CosineSchedule(1.0, total_steps=80, shift=40 - 400)
    assert cosine(5, 401) == pytest.approx(0.5)
    assert cosine(8, 440) == pytest.approx((1 + cos(pi * 79 / 80)) / 2)
    warm = StepSchedule(1.0, warmup_steps=80, shift=40 - 400)
    # All 80 steps of it have been made, though they were of another size.
    assert warm(5, 401) == 1


def test_a_warm_up_that_is_over_does_not_begin_again_with_smaller_batches():
    """Two epochs of 10 steps, one of them warm-up; the epochs after them have 100."""
    assert StepSchedule(1.0, warmup_steps=100, shift=200 - 20)(3, 21) == 1
