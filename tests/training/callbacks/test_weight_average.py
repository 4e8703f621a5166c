"""The moving average of weights: by hand, in a training, and in what a training leaves."""

import mxnet as mx
import numpy as np
import pytest
from small import same

from gluon_ssd import Callback, Detector
from gluon_ssd.recipe import load_recipe
from gluon_ssd.training.callbacks.weight_average import WeightAverage
from gluon_ssd.training.train import run_training
from gluon_ssd.weights.checkpoint import read_checkpoint

QUICK = {"batch_size": 4, "max_steps": None, "epochs": 2, "eval_every": 1, "limit_val": 2, "ema": 0.5}


def train(data, output, **changes):
    values = {**QUICK, "data": str(data), "output": str(output), **changes}
    return run_training(load_recipe("ssd_tiny/smoke", values), quiet=True)


def last(run, name="last"):
    return read_checkpoint(run / f"checkpoints/{name}.ckpt")


class OneWeight:
    """A network of one weight, in half precision."""

    def __init__(self, value):
        self.weight = mx.gluon.Parameter("weight", shape=(2,), dtype="float16")
        self.weight.initialize(init=mx.init.Constant(value))

    def collect_params(self):
        return {"weight": self.weight}


def test_the_average_by_hand():
    net = OneWeight(1)
    average = WeightAverage(net, 0.25)
    net.weight.set_data(mx.nd.array([3, 5]))
    # At step 1 it keeps 2/11 of itself, which is less than its decay, and at step 20 the decay: 1/4.
    average.update(1)
    first = np.array([1 * 2 / 11 + 3 * 9 / 11, 1 * 2 / 11 + 5 * 9 / 11])
    np.testing.assert_allclose(average.arrays()["weight"], first, rtol=1e-6)
    average.update(20)
    np.testing.assert_allclose(average.arrays()["weight"], first / 4 + np.array([3, 5]) * 3 / 4, rtol=1e-6)
    assert average.arrays()["weight"].dtype == np.float32


def test_running_statistics_are_averaged_and_frozen_weights_are_not():
    net = mx.gluon.nn.BatchNorm(in_channels=2, prefix="norm_")
    net.initialize()
    net.gamma.grad_req = "null"
    average = WeightAverage(net, 0.25)
    net.running_mean.set_data(mx.nd.array([3, 5]))
    average.update(1)
    # Beginning with a mean of 0.
    np.testing.assert_allclose(average.arrays()["norm_running_mean"], np.array([3, 5]) * 9 / 11, rtol=1e-6)
    assert sorted(average.arrays()) == ["norm_beta", "norm_running_mean", "norm_running_var"]
    with average.in_use():
        np.testing.assert_allclose(net.running_mean.data().asnumpy(), np.array([3, 5]) * 9 / 11, rtol=1e-6)
    assert net.running_mean.data().asnumpy().tolist() == [3, 5]


def test_the_network_has_the_averages_for_a_while_and_its_own_weights_again():
    net = OneWeight(1)
    average = WeightAverage(net, 0.5, {"weight": np.array([2, 4], np.float32)})
    with pytest.raises(KeyError), average.in_use():
        assert net.weight.data().asnumpy().tolist() == [2, 4]
        raise KeyError
    assert net.weight.data().asnumpy().tolist() == [1, 1]
    assert net.weight.data().dtype == np.float16


@pytest.mark.once
def test_an_average_changes_nothing_of_the_training_itself(shapes, tmp_path):
    train(shapes, tmp_path / "with")
    train(shapes, tmp_path / "without", ema=None)
    averaged, plain = last(tmp_path / "with"), last(tmp_path / "without")
    assert same({**averaged.parameters, **averaged.trained}, plain.parameters) and not plain.trained
    assert same(averaged.optimizer, plain.optimizer)
    changed = {name for name, value in plain.parameters.items() if (averaged.parameters[name] != value).any()}
    assert {name.rpartition("_")[2] for name in changed} >= {"weight", "mean", "var"}


class Statistics(Callback):
    """Averages one running mean as `WeightAverage` should, from values that have surely been computed."""

    def started(self, info):
        parameters = info.net.collect_params()
        self.name = next(name for name in parameters if name.endswith("running_mean"))
        self._parameter = parameters[self.name]
        self.average = self._parameter.data().asnumpy()

    def batch_ended(self, batch, values):
        mx.nd.waitall()
        taken = 1 - min(QUICK["ema"], (1 + batch.step) / (10 + batch.step))
        self.average += taken * (self._parameter.data().asnumpy() - self.average)


def test_the_average_takes_in_the_statistics_of_each_step(shapes, tmp_path):
    own = Statistics()
    values = {**QUICK, "eval_every": 0, "data": str(shapes), "output": str(tmp_path / "run")}
    run_training(load_recipe("ssd_tiny/smoke", values), quiet=True, callbacks=[own])
    np.testing.assert_allclose(last(tmp_path / "run").parameters[own.name], own.average, rtol=1e-5)


def test_the_average_is_what_is_evaluated_saved_and_used(shapes, tmp_path, monkeypatch):
    from gluon_ssd.training import evaluator as module

    seen = []
    evaluate = module.evaluate

    def watched(detector, *args, **options):
        parameters = detector.net.collect_params().items()
        seen.append({name: value.data().asnumpy() for name, value in parameters})
        return evaluate(detector, *args, **options)

    monkeypatch.setattr(module, "evaluate", watched)
    train(shapes, tmp_path / "run")
    saved = last(tmp_path / "run").parameters
    assert same(seen[-1], saved)
    used = Detector(tmp_path / "run/last").net.collect_params().items()
    assert same({name: value.data().asnumpy() for name, value in used}, saved)
    best = last(tmp_path / "run", "best")
    assert same(best.parameters, seen[best.progress.best_epoch - 1])


@pytest.mark.once
def test_a_resumed_run_goes_on_with_the_average(shapes, tmp_path):
    train(shapes, tmp_path / "whole", epochs=3)
    train(shapes, tmp_path / "parts", epochs=3, max_steps=4)
    train(shapes, tmp_path / "parts", epochs=3, resume=True)
    whole, parts = last(tmp_path / "whole"), last(tmp_path / "parts")
    assert same(whole.parameters, parts.parameters) and same(whole.trained, parts.trained)
    assert same(whole.optimizer, parts.optimizer)
