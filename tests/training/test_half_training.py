"""Training in float16: master weights, loss scale, and what happens when gradients overflow."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon
from small import refused
from tiny_batch import tiny_batch

from gluon_ssd.errors import UserError
from gluon_ssd.tensor_files.archive import read_archive
from gluon_ssd.training.loss_scale import HOPELESS, LossScale, all_finite
from gluon_ssd.training.step import TrainStep

pytestmark = pytest.mark.once


class Product(gluon.HybridBlock):
    """A network of one half parameter, w: predicts w * x."""

    def __init__(self, value):
        super().__init__()
        self.w = self.params.get("w", shape=(2, 1), dtype="float16", init=mx.init.Constant(value))
        self.initialize()

    def arrange(self, x):
        return x

    def hybrid_forward(self, F, x, w):
        return F.broadcast_mul(F.amp_cast(x, dtype="float16"), F.slice_axis(w, axis=0, begin=0, end=1)), w


class Mean(gluon.HybridBlock):
    def hybrid_forward(self, F, x, _, factor, unused):
        loss = F.mean(F.amp_cast(x, dtype="float32") * factor).reshape((1,))
        return loss, loss, loss


def product_step(value=1.0, **settings):
    settings = {"momentum": 0.0, "weight_decay": 0.0, **settings}
    net = Product(value)
    return net, TrainStep(net, Mean(), **settings)


def run(step, x, factor, lr):
    half = [mx.nd.full((1, 1), factor), mx.nd.zeros((1, 1))]
    return step(mx.nd.full((1, 1), x), half, lr)


def weight(net):
    return float(net.w.data().asnumpy()[0, 0])


def test_updates_too_small_for_half_precision_add_up_in_the_master_weights():
    net, step = product_step(1.0, scale=LossScale())
    # Half precision around 1 has steps of 2**-11 downwards; every update is an eighth of one.
    for _ in range(8):
        run(step, 1.0, 1.0, lr=2.0**-14)
    assert weight(net) == 1 - 2.0**-11
    master = step.trainer._updaters[0].states[0][-1].asnumpy()
    assert master.dtype == np.float32 and master[0, 0] == 1 - 2.0**-11


@pytest.mark.parametrize(("scale", "moved"), [(None, 0.0), (LossScale(128.0), 2.0**-20)])
def test_the_scale_carries_gradients_that_half_precision_has_no_number_for(scale, moved):
    net, step = product_step(0.0, scale=scale)
    # 2**-26 is a quarter of the smallest half-precision number.
    run(step, 2.0**-13, 2.0**-13, lr=2.0**6)
    assert -weight(net) == moved


def test_a_static_scale_leaves_out_what_overflows_and_counts_it():
    net, step = product_step(1.0, momentum=0.9, scale=LossScale(128.0))
    run(step, 1.0, 1.0, lr=0.25)
    before, state = weight(net), step.trainer._updaters[0].states[0][0].asnumpy().copy()
    run(step, 1.0, 1000.0, lr=0.25)  # 128 000 is beyond 65 504
    assert weight(net) == before == 0.75
    assert (step.trainer._updaters[0].states[0][0].asnumpy() == state).all()
    assert (step.scale.skipped, step.scale.value) == (1, 128.0)
    run(step, 1.0, 0.0, lr=0.25)
    assert step.scale.skipped == 1 and weight(net) < before


def test_a_dynamic_scale_halves_until_the_gradient_fits_and_grows_again():
    net, step = product_step(1.0, scale=LossScale(512.0, dynamic=True, patience=3))
    values = []
    for _ in range(7):
        run(step, 1.0, 256.0, lr=2.0**-10)
        values.append(step.scale.value)
    # 512 * 256 and 256 * 256 overflow; after three good steps at 128 it tries 256 again.
    assert values == [256.0, 128.0, 128.0, 128.0, 256.0, 128.0, 128.0]
    assert step.scale.skipped == 3
    assert weight(net) == 1 - 4 * 0.25


def test_it_does_not_skip_for_ever():
    scale = LossScale(128.0)
    for _ in range(HOPELESS - 1):
        scale.update(False)
    with pytest.raises(UserError, match="no finite gradient in 50 steps, loss scale 128; try"):
        scale.update(False)


def test_all_finite_looks_at_every_array_of_either_type():
    arrays = [mx.nd.ones((3,)), mx.nd.ones((2, 2), dtype="float16"), mx.nd.ones((1,))]
    assert all_finite(arrays)
    for bad in range(3):
        spoilt = [array.copy() for array in arrays]
        spoilt[bad][-1:] = np.inf if bad else np.nan
        assert not all_finite(spoilt)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_half_training_follows_float32(layout):
    losses = []
    for options, scale in (({}, None), ({"dtype": "float16", "layout": layout}, LossScale())):
        mx.random.seed(0)
        net, images, targets = tiny_batch(**options)
        step = TrainStep(net, net.loss(), scale=scale)
        losses.append([float(step(images, targets, lr=0.001)[0].asscalar()) for _ in range(6)])
        kinds = {np.dtype(array.dtype) for name, array in net.collect_params().items() if "conv" in name}
        assert kinds == {np.dtype("float16" if options else "float32")}
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.03)
    assert losses[0][-1] < 0.9 * losses[0][0]


def test_decay_on_weights_spares_biases_and_norms():
    net, images, targets = tiny_batch()
    step = TrainStep(net, net.loss(), decay_norms=False)
    spared = {name for name, param in net.collect_params().items() if param.wd_mult == 0}
    trained = {name for name, param in net.collect_params().items() if param.grad_req != "null"}
    assert spared == {name for name in trained if name.endswith(("_gamma", "_beta", "_bias"))}
    assert any("convpredictor" in name for name in spared)
    step(images, targets, lr=0.01)
    TrainStep(net, net.loss())
    assert {param.wd_mult for param in net.collect_params().values()} == {1.0}


def test_a_half_run_resumes_bit_for_bit(cli, shapes):
    settings = ["--precision", "fp16", "--layout", "NHWC", "--dynamic-loss-scale", "--loss-scale", 2**22]
    common = ["train", "--recipe", "ssd_tiny/smoke", "--data", shapes, "--batch-size", 4, "--eval-every", 0]
    common += settings
    assert cli(*common, "--max-steps", 5, "--epochs", 2, "--output", "whole").status == 0
    assert cli(*common, "--max-steps", 2, "--epochs", 2, "--output", "parts").status == 0
    rest = cli("train", "--resume", "--output", "parts", "--max-steps", 5)
    assert rest.status == 0, rest
    (ours, state), (other, again) = (
        read_archive(f"{name}/checkpoints/last.ckpt") for name in ("whole", "parts")
    )
    assert set(ours) == set(other) and all((ours[name] == other[name]).all() for name in ours)
    assert state["progress"]["loss_scale"] == again["progress"]["loss_scale"]
    assert state["progress"]["loss_scale"]["skipped"] > 0
    assert "steps skipped so far for overflow; loss scale" in rest.out
    assert ours["parameters/ssd0_expand_trans_conv0_weight"].dtype == np.float16


def test_what_a_run_cannot_change_is_named_when_it_resumes(cli, shapes):
    common = ["train", "--recipe", "ssd_tiny/smoke", "--data", shapes, "--batch-size", 4, "--eval-every", 0]
    common += ["--epochs", 2, "--output", "run"]
    assert cli(*common, "--max-steps", 1, "--freeze", 0, 1).status == 0
    message = "precision, layout, optimizer and what is frozen cannot change"
    for change in (["--freeze", 0], ["--layout", "NHWC"], ["--precision", "fp16"], ["--optimizer", "adam"]):
        resumed = ["--freeze", 0, 1, *change] if change[0] != "--freeze" else change
        refused(cli(*common, "--resume", "--max-steps", 2, *resumed), "its optimizer state has no", message)


def test_an_unfit_option_is_the_users_mistake(cli, shapes):
    common = ["train", "--recipe", "ssd_tiny/smoke", "--data", shapes, "--max-steps", 1]
    refused(cli(*common, "--trainable-layers", 3), "trainable_layers", "ssd_tiny")
    refused(cli(*common, "--freeze", 0, 9), "freeze", "stages 0 (the first layers) to 3, got 9")
    refused(cli(*common, "--precision", "fp8"), "--precision", "fp16")
