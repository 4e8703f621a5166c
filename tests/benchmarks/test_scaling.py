"""The scaling model of benchmarks/scaling.py: its arithmetic by hand; docs/scaling.md is what it prints."""

import importlib
import sys

import pytest
from places import REPOSITORY


@pytest.fixture(scope="module")
def scaling():
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    try:
        yield importlib.import_module("scaling")
    finally:
        sys.path.remove(str(REPOSITORY / "benchmarks"))


@pytest.fixture
def plain(scaling):
    """Machines of 4 at 100 bytes/s that send 50 bytes/s; hops of 1 and 10 s; a call of 2 s."""
    return scaling.Machine(gpus=4, link=100.0, network=50.0, hop=1.0, cores=2, far_hop=10.0, call=2.0)


@pytest.fixture
def task(scaling):
    """10 operations forward, 100 gradients of 2 bytes, 100 images to train on and 16 to evaluate on."""
    return scaling.Task("small", 10.0, 100, 2, 100, 16, every=2, start=3.0, closing=4.0)


@pytest.mark.parametrize(
    "processes, seconds",
    [
        (1, 0.0),
        (2, 2 + 2 * 1 / 2 * 200 / 100 + 2 * 1 * 1),  # 2 + 2 + 2
        (4, 2 + 2 * 3 / 4 * 200 / 100 + 2 * 3 * 1),  # 2 + 3 + 6
        (8, 11 + 2 * 1 / 2 * 200 / 50 + 2 * 1 * 10),  # 11 + 4 + 20
        (16, 11 + 2 * 3 / 4 * 200 / 50 + 2 * 2 * 10),  # 11 + 6 + 40
    ],
)
def test_an_exchange_takes_its_bytes_and_its_hops(scaling, plain, processes, seconds):
    assert scaling.allreduce(plain, processes, 200.0) == pytest.approx(seconds)


def test_ssd_exchanges_in_under_a_millisecond_on_1024_gpus(scaling):
    found = scaling.tasks()
    ssd, retinanet = found["ssd_resnet34"], found["retinanet_resnext50_32x4d"]
    assert (ssd.gradient_bytes, retinanet.gradient_bytes) == (39945068, 147396016)
    # 4.4 + 2 x 7 x 1.2 us, 39.9 MB x 1.75 / 300 GB/s; and x 254/128 / 200 GB/s, 14 x 8.5 us.
    assert scaling.allreduce(scaling.DGX_A100, 8, ssd.gradient_bytes) == pytest.approx(254.2e-6, rel=1e-3)
    assert scaling.allreduce(scaling.DGX_A100, 1024, ssd.gradient_bytes) == pytest.approx(769.5e-6, rel=1e-3)


def test_a_step_is_compute_and_what_the_backward_pass_does_not_hide(scaling, plain, task):
    speed = scaling.Speed(rate=60.0, fixed=3.0, eval_fixed=1.0, eval_image=0.5)
    assert scaling.step(task, plain, speed, 1, 6) == scaling.Step(6.0, 0.0, 0.0)  # 3 + 6 x 30 / 60
    assert scaling.step(task, plain, speed, 4, 6).exchange == 11.0
    assert scaling.step(task, plain, speed, 4, 6, overlap=0.25).exchange == 8.25
    assert scaling.step(task, plain, speed, 4, 6, overlap=1.0).exchange == 7.0  # 2/3 of 6 s hide 4 s


def test_a_step_waits_for_images_that_the_cores_do_not_bring(scaling, plain, task, monkeypatch):
    monkeypatch.setitem(scaling.CORE_IMAGES, "small", 0.25)
    speed = scaling.Speed(rate=60.0, fixed=3.0, eval_fixed=0.0, eval_image=0.0)
    one = scaling.step(task, plain, speed, 1, 6)  # 6 images at 2 x 0.25 a second take 12 s
    assert one == scaling.Step(6.0, 0.0, 6.0)
    assert one.seconds == 12.0


def test_a_training_is_its_steps_its_evaluations_its_start_and_its_end(scaling, task):
    speed = scaling.Speed(rate=60.0, fixed=3.0, eval_fixed=1.0, eval_image=0.5)
    one = scaling.Step(6.0, 2.0, 0.0)
    # 100 images in 5 steps of 24; 5 epochs; 2 evaluations of 1 + 0.5 x 4 s.
    assert scaling.training(task, speed, one, 4, 6, 5) == 3 + 5 * 5 * 8 + 2 * 3 + 4


@pytest.mark.parametrize("overlap", [0.0, 0.9])
def test_the_model_gives_the_two_logs_that_it_was_fitted_to(scaling, overlap):
    for task in scaling.tasks().values():
        speed = scaling.fitted(task, overlap)
        logs = [log for log in scaling.LOGS if log.model == task.model and log.fitted]
        assert len(logs) == 2
        for log in logs:
            one = scaling.step(task, scaling.DGX_A100, speed, log.gpus, log.batch, overlap)
            assert one.seconds == pytest.approx(log.step, rel=1e-9)
            assert log.evaluation == pytest.approx(
                speed.eval_fixed + speed.eval_image * task.val_images / log.gpus, rel=1e-9
            )
            assert 0 < speed.rate < scaling.TENSOR_PEAK


def test_a_published_step_is_its_images_by_its_rate(scaling):
    steps = {(log.model, log.gpus): round(1000 * log.step, 2) for log in scaling.LOGS}
    assert steps[("ssd_resnet34", 8)] == 74.65
    assert steps[("ssd_resnet34", 1024)] == 7.78
    assert steps[("retinanet_resnext50_32x4d", 1280)] == 22.92


def test_the_document_holds_what_the_script_prints(scaling):
    text = (REPOSITORY / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert text.split(scaling.BEGIN)[1].split(scaling.END)[0].strip("\n") == scaling.report(0.0)


@pytest.mark.parametrize("options", [["--overlap", "1.5"], ["--overlap", "0.5", "--write"]])
def test_options_without_sense_are_refused(scaling, options, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scaling.py", *options])
    with pytest.raises(SystemExit) as stop:
        scaling.main()
    assert stop.value.code == 2 and "--overlap" in capsys.readouterr().err
