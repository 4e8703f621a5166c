"""A backbone from outside, examples/backbone.py: it builds, loads weights, freezes, trains."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from own_zoo import own_zoo
from places import REPOSITORY

from gluon_ssd import UserError, get_model
from gluon_ssd.convert import load_backbone, write_torch
from gluon_ssd.training.step import TrainStep

PLUGIN = str(REPOSITORY / "examples" / "backbone.py")
# torchvision's vgg16_bn: numbers of its convolutions and their output channels.
CONVOLUTIONS = dict(
    zip((0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40), [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6)
)


@pytest.fixture(scope="module")
def net():
    with own_zoo(PLUGIN):
        yield get_model("ssd_vgg16_bn", ["cat", "dog"])


@pytest.fixture(scope="module")
def weights():
    """Tensors of a vgg16_bn of torchvision's, with a part of its classifier."""
    random, state, before = np.random.RandomState(0), {}, 3
    for number, channels in CONVOLUTIONS.items():
        state[f"features.{number}.weight"] = random.normal(0, 0.05, (channels, before, 3, 3))
        norm = [f"{number + 1}.{leaf}" for leaf in ("weight", "bias", "running_mean")]
        for name in (f"{number}.bias", *norm):
            state[f"features.{name}"] = random.normal(0, 0.1, channels)
        state[f"features.{number + 1}.running_var"] = random.uniform(0.5, 1, channels)
        state[f"features.{number + 1}.num_batches_tracked"] = np.array(3)
        before = channels
    state["classifier.0.bias"] = np.zeros(8)
    return {name: np.asarray(a, np.int64 if a.ndim == 0 else np.float32) for name, a in state.items()}


def test_it_publishes_what_a_detector_asks_for(net):
    assert net.backbone.feature_info == [(512, 8), (512, 16)]
    assert [array.shape[1:] for array in net.features(mx.nd.zeros((1, 3, 300, 300)))][:2] == [
        (512, 38, 38),
        (512, 19, 19),
    ]
    cls_preds, box_preds = net(mx.nd.zeros((1, 3, 300, 300)))
    assert cls_preds.shape == (1, 8732, 3) and box_preds.shape == net.anchors(300, 300)[None].shape


def test_weights_of_torchvision_become_its_own(net, weights, tmp_path):
    path = tmp_path / "vgg16_bn.pth"
    write_torch(weights, path)
    load_backbone(net, path)
    own = net.backbone.collect_params()
    assert (own["ssd0_vgg0_stage0_conv0_weight"].data().asnumpy() == weights["features.0.weight"]).all()
    assert (own["ssd0_vgg0_stage4_conv2_bias"].data().asnumpy() == weights["features.40.bias"]).all()
    last = own["ssd0_vgg0_stage4_batchnorm2_running_var"].data().asnumpy()
    assert (last == weights["features.41.running_var"]).all()


def test_weights_that_do_not_fit_are_told_and_change_nothing(net, weights, tmp_path):
    before = net.backbone.collect_params()["ssd0_vgg0_stage0_conv0_weight"].data().asnumpy()
    lacking = {name: array for name, array in weights.items() if not name.startswith("features.40.")}
    write_torch({**lacking, "features.0.weight": lacking["features.0.weight"] + 1}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="a.pth: does not fit the backbone of .*: missing .*stage4_conv2"):
        load_backbone(net, tmp_path / "a.pth")
    write_torch({"head.weight": np.zeros((2, 2), np.float32)}, tmp_path / "b.pth")
    with pytest.raises(UserError, match="b.pth: not the weights of"):
        load_backbone(net, tmp_path / "b.pth")
    after = net.backbone.collect_params()["ssd0_vgg0_stage0_conv0_weight"].data().asnumpy()
    assert (before == after).all()


def test_its_parts_freeze_and_the_rest_trains(net):
    net.freeze([0, 1])
    trained = {name for name, value in net.collect_params().items() if value.grad_req != "null"}
    assert not any("vgg0_stage0_" in name or "vgg0_stage1_" in name for name in trained)
    names = ["ssd0_vgg0_stage1_conv0_weight", "ssd0_vgg0_stage2_conv0_weight"]
    before = [net.collect_params()[name].data().asnumpy() for name in names]
    step = TrainStep(net, net.loss())
    boxes, labels = np.array([[[0.1, 0.1, 0.6, 0.7]]], np.float32), np.array([[1]])
    targets = [mx.nd.array(target) for target in net.target_encoder()(boxes, labels)]
    step(mx.nd.random.normal(shape=(1, 3, 300, 300)), targets, lr=0.01)
    changed = [(net.collect_params()[name].data().asnumpy() != old).any() for name, old in zip(names, before)]
    assert changed == [False, True]
