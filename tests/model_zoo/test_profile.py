"""Sizes and costs of the networks, against what their publishers state."""

import mxnet as mx
import pytest

from gluon_ssd import UserError, get_model, list_models
from gluon_ssd.model_zoo.profile import count_multiply_adds, profile_model, profile_network
from gluon_ssd.model_zoo.registry import model_outline


@pytest.mark.parametrize(
    ("name", "parameters", "giga_multiply_adds"),
    # torchvision's documentation: num_params and GFLOPS, which there are multiply-adds.
    [
        ("resnet18", 11_689_512, 1.814),
        ("resnet34", 21_797_672, 3.664),
        ("resnet50", 25_557_032, 4.089),
        ("resnet101", 44_549_160, 7.801),
        ("resnet152", 60_192_808, 11.514),
        ("resnext50_32x4d", 25_028_904, 4.230),
    ],
)
def test_classifiers_cost_what_torchvision_states(name, parameters, giga_multiply_adds):
    profile = profile_model(name)
    assert profile.parameters == profile.trained == parameters
    assert round(profile.multiply_adds / 1e9, 3) == giga_multiply_adds
    assert profile.anchors is None
    assert [shape[1:] for shape in profile.maps] == [(56, 56), (28, 28), (14, 14), (7, 7)]


def test_torchvisions_retinanet_has_the_parameters_that_it_states():
    profile = profile_model("retinanet_resnet50", [f"category {number}" for number in range(91)])
    assert profile.parameters == 34_014_999


@pytest.mark.parametrize(
    ("name", "gflops"),
    # Counted by PyTorch on the references, multiply and add as two.
    [("ssd_resnet18", 15.6), ("ssd_resnet34", 31.7), ("ssd_resnet50", 40.3)],
)
def test_ssds_cost_what_their_references_do(name, gflops):
    profile = profile_model(name)
    assert round(profile.gflops, 1) == gflops
    assert profile.outputs == ((1, 8732, 81), (1, 8732, 4)) and profile.anchors == 8732
    assert [shape[1] for shape in profile.maps] == [38, 19, 10, 5, 3, 1]


def test_mlperfs_retinanet_costs_what_its_reference_does():
    profile = profile_model("retinanet_resnext50_32x4d")
    assert round(profile.gflops) == 402
    # 9 x (100^2 + 50^2 + 25^2 + 13^2 + 7^2); what is trained stands in retinanet_facts.json.
    assert profile.outputs == ((1, 120087, 264), (1, 120087, 4))
    assert profile.trained == 36_849_004
    assert profile.maps == tuple((256, side, side) for side in (100, 50, 25, 13, 7))


@pytest.mark.parametrize("name", ["ssd_tiny", "ssd_resnet34", "retinanet_resnet50", "resnet18"])
def test_a_network_with_values_has_the_profile_of_its_model(name):
    net = get_model(name)
    assert profile_network(net) == profile_model(name)


@pytest.mark.parametrize("name", list_models("detector"))
def test_a_detector_predicts_as_many_boxes_as_it_has_anchors(name):
    profile, net = profile_model(name), model_outline(name)
    assert len(net.anchors(*net.input_size)) == profile.anchors


def test_another_input_size():
    profile = profile_network(get_model("resnet18"), (448, 448))
    assert profile.parameters == 11_689_512
    # Every convolution four times, the dense layer once.
    assert profile.multiply_adds == 4 * (profile_model("resnet18").multiply_adds - 512_000) + 512_000


def test_frozen_stages_are_parameters_that_are_not_trained():
    net = get_model("ssd_tiny", classes=["a"])
    before = profile_network(net)
    net.freeze(stages=[0])
    after = profile_network(net)
    # The stem: 3x3x3x32 weights, and gamma and beta of its norm.
    assert (after.parameters, after.trained) == (before.parameters, before.trained - 864 - 64)


def test_counts_by_hand():
    x = mx.sym.var("x")
    grouped = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), stride=(2, 2), num_filter=8, num_group=2)
    assert count_multiply_adds(grouped, x=(2, 4, 10, 6)) == 2 * 8 * 5 * 3 * (2 * 9)
    upward = mx.sym.Deconvolution(x, kernel=(2, 2), stride=(2, 2), num_filter=5)
    assert count_multiply_adds(upward, x=(1, 4, 10, 6)) == 10 * 6 * 4 * 5 * 4
    dense = mx.sym.FullyConnected(x, num_hidden=7)
    assert count_multiply_adds(dense, x=(3, 4, 10, 6)) == 3 * 240 * 7


def test_a_layer_that_is_used_twice_costs_twice():
    x, weight = mx.sym.var("x"), mx.sym.var("weight")
    layer = {"weight": weight, "kernel": (1, 1), "num_filter": 4, "no_bias": True, "name": "shared"}
    half = mx.sym.slice_axis(mx.sym.Convolution(x, **layer), axis=2, begin=0, end=2)
    twice = mx.sym.Convolution(half, **layer)
    assert count_multiply_adds(twice, x=(1, 4, 6, 6)) == (36 + 12) * 16


def test_channels_that_only_pad_are_not_counted():
    profile = profile_model("ssd_tiny", ["a", "b"])
    widths, sides = (64, 128, 128, 128, 128), (24, 12, 6, 3, 1)
    heads = sum(width * 9 * 4 * (3 + 4) * side * side for width, side in zip(widths, sides))
    bodies = profile_model("ssd_tiny").multiply_adds - sum(
        width * 9 * 4 * (81 + 4) * side * side for width, side in zip(widths, sides)
    )
    assert profile.multiply_adds == bodies + heads


def test_an_unknown_model():
    with pytest.raises(UserError, match="unknown model 'ssd_resnet43'; did you mean ssd_resnet34"):
        profile_model("ssd_resnet43")
