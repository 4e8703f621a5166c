import math

import mxnet as mx
import numpy as np
import pytest
from golden import FOLDER, load_golden, seeded, seeded_weights, to_size_major
from mxnet import autograd, gluon
from random_nets import trial_size

from gluon_ssd import UserError, get_model, list_models
from gluon_ssd.convert import load_torch_state, to_torch_state
from gluon_ssd.model_zoo import ModelRow, model_row, register_model
from gluon_ssd.resources import card_path, recipe_names

MODELS = list_models("detector")
# Of every family one that is quick; the others are the same code with other numbers.
QUICK = ["ssd_tiny", "ssd_resnet18", "ssd_resnet34", "retinanet_resnet50"]


def count_and_channels(net):
    background = net.model_name.startswith("ssd")
    return len(net.anchors(*trial_size(net))), len(net.classes) + background


@pytest.fixture(scope="module")
def seeded_net():
    net = get_model("ssd_resnet34")
    load_torch_state(net, seeded_weights("ssd300_resnet34_mlperf"))
    return net


def test_parameter_names_are_nvidias_in_order():
    names = (FOLDER / "ssd_v1.1_tensor_names.txt").read_text().split()
    for _ in range(2):
        net = get_model("ssd_resnet34")
        assert [name for name in net.collect_params() if "running" not in name] == names


@pytest.mark.parametrize("hybridize", [False, True])
def test_outputs_are_the_references(seeded_net, hybridize):
    golden = load_golden("ssd300_resnet34_mlperf_outputs")
    seeded_net.hybridize(hybridize, static_alloc=True, static_shape=True)
    cls_preds, box_preds = seeded_net(mx.nd.array(seeded.image_input(7, (2, 3, 300, 300))))
    for name, ours in (("conf", cls_preds), ("loc", box_preds)):
        flat = to_size_major(ours.asnumpy(), axis=1).transpose(0, 2, 1).ravel()
        limit = 1e-5 * golden[f"{name}_mean_std_absmax"][2]
        np.testing.assert_allclose(
            flat[golden[f"{name}_index"]], golden[f"{name}_value64"], rtol=0, atol=limit
        )


def test_torch_weights_go_in_and_come_out_unchanged(seeded_net):
    weights = seeded_weights("ssd300_resnet34_mlperf")
    state = to_torch_state(seeded_net)
    assert set(state) == {name for name in weights if not name.endswith("num_batches_tracked")}
    for name, array in state.items():
        np.testing.assert_array_equal(array, weights[name])


def test_torch_weights_that_do_not_fit_are_named_and_change_nothing(seeded_net):
    weights = seeded_weights("ssd300_resnet34_mlperf")
    before = to_torch_state(seeded_net)
    missing = {name: value for name, value in weights.items() if name != "loc.3.bias"}
    with pytest.raises(UserError, match="missing: loc.3.bias"):
        load_torch_state(seeded_net, missing)
    with pytest.raises(UserError, match="unexpected: fc.weight"):
        load_torch_state(seeded_net, {**weights, "fc.weight": np.zeros(3)})
    with pytest.raises(
        UserError, match=r"additional_blocks.0.0.bias: shape \[\(7,\)\], the network has \[\(256,\)\]"
    ):
        load_torch_state(seeded_net, {**weights, "additional_blocks.0.0.bias": np.zeros(7)})
    for name, array in to_torch_state(seeded_net).items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("state", [None, ["conv1.weight"], {5: np.ones(2)}])
def test_what_is_no_state_dict(state):
    with pytest.raises(UserError, match=r"weights are of type .*; give tensors by name, a state_dict\(\)"):
        load_torch_state(get_model("resnet18", classes=["a"]), state)


def test_module_prefixes_of_data_parallel_training_are_taken_off(seeded_net):
    weights = seeded_weights("ssd300_resnet34_mlperf")
    bias = next(name for name in weights if name.endswith("loc.3.bias"))
    changed = {**weights, bias: weights[bias] + 1}
    load_torch_state(seeded_net, {f"module.{name}": value for name, value in changed.items()})
    np.testing.assert_array_equal(to_torch_state(seeded_net)[bias], changed[bias])
    load_torch_state(seeded_net, weights)


@pytest.mark.parametrize("name", QUICK)
def test_every_model_gives_its_outputs_in_any_order_of_modes(name):
    net = get_model(name, classes=["cat", "dog"])
    net.hybridize(static_alloc=True, static_shape=True)
    images = mx.nd.random.uniform(shape=(2, 3, *trial_size(net)))
    count, channels = count_and_channels(net)
    shapes = [(2, count, channels), (2, count, 4)]

    first = net(images)
    assert [output.shape for output in first] == shapes
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1}, kvstore=None)
    with autograd.record():
        outputs = net(images)
        loss = sum((output**2).mean() for output in outputs)
    assert [output.shape for output in outputs] == shapes
    loss.backward()
    trainer.step(1)
    after = net(images)
    assert [output.shape for output in after] == shapes
    assert np.abs(after[0].asnumpy() - first[0].asnumpy()).max() > 0
    with autograd.record():
        again = net(images)
    assert [output.shape for output in again] == shapes


@pytest.mark.once
@pytest.mark.parametrize("name", MODELS)
def test_hybridised_and_plain_networks_agree(name):
    net = get_model(name)
    images = mx.nd.random.uniform(shape=(1, 3, *trial_size(net)))
    plain = [output.asnumpy() for output in net(images)]
    net.hybridize(static_alloc=True, static_shape=True)
    for ours, theirs in zip(net(images), plain):
        np.testing.assert_allclose(ours.asnumpy(), theirs, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("name", MODELS)
def test_every_row_says_what_the_network_is(name):
    row, net = model_row(name), get_model(name)
    assert row.name == net.model_name == name
    assert tuple(row.input_size) == net.input_size
    assert net.classes == row.default_classes
    assert len(net.classes) == {"retinanet_resnext50_32x4d": 264}.get(name, 80)
    anchors = net.anchors(64, 96)
    assert row.anchors is not None and (row.anchors(64, 96) == anchors).all()
    assert anchors.dtype == np.float32 and anchors.shape[1] == 4
    assert row.summary and row.source
    assert row.recipe in recipe_names()
    assert card_path(name).is_file()


def bound_of(array):
    return float(np.abs(array).max())


@pytest.mark.once
def test_initialisation_of_heads_and_extra_layers_follows_the_reference():
    mx.random.seed(0)
    net = get_model("ssd_resnet34")
    params = {name: param.data().asnumpy() for name, param in net.collect_params().items()}
    head = params["ssd0_convpredictor0_conv0_weight"]
    classes, deltas = head[:324], head[324:]
    # Xavier: sqrt(6 / (fan_in + fan_out)), each segment with its own fan_out.
    for part, channels in ((classes, 324), (deltas, 16)):
        bound = math.sqrt(6 / ((256 + channels) * 9))
        assert 0.99 * bound < bound_of(part) <= bound
        assert part.std() == pytest.approx(bound / math.sqrt(3), rel=0.01)
    bias = params["ssd0_convpredictor0_conv0_bias"]
    assert 0.97 / 48 < bound_of(bias) <= 1 / math.sqrt(256 * 9)
    extra = params["ssd0_expand_conv0_weight"]
    bound = math.sqrt(6 / ((256 + 512) * 9))
    assert 0.99 * bound < bound_of(extra) <= bound
    bound = 1 / math.sqrt(512)
    assert 0.9 * bound < bound_of(params["ssd0_expand_trans_conv1_bias"]) <= bound
    stem = params["ssd0_resnetmlperf0_conv0_weight"]
    assert stem.std() == pytest.approx(math.sqrt(2 / (64 * 49)), rel=0.02)
    assert (params["ssd0_resnetmlperf0_stage3_batchnorm12_gamma"] == 1).all()


def test_the_same_seed_gives_the_same_weights():
    nets = []
    for _ in range(2):
        mx.random.seed(7)
        nets.append(get_model("ssd_tiny"))
    for name, param in nets[0].collect_params().items():
        np.testing.assert_array_equal(param.data().asnumpy(), nets[1].collect_params()[name].data().asnumpy())


def test_own_classes():
    net = get_model("ssd_tiny", classes=["cat", "dog"])
    assert net.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("classes", "complaint"),
    [
        ([], "classes is empty"),
        ("cat", "give a list of names"),
        (80, "classes is a number, 80"),
        (5.0, "classes is a number, 5.0"),
        (["cat", "cat"], "'cat' stands twice"),
        (["cat", ""], "must be text"),
        (["cat", 3], "must be text"),
        (np.int64(80), "classes is a number, 80"),
        (object(), "classes is of type object; give a list of names"),
        ({"cat", "dog"}, "classes is of type set; give a list of names, whose order numbers them"),
    ],
)
def test_unusable_class_lists_are_refused(classes, complaint):
    with pytest.raises(UserError, match=complaint):
        get_model("ssd_tiny", classes=classes)


def test_a_group_of_norms_is_no_number():
    with pytest.raises(UserError, match="bn_group is 2; give the ranks of a group"):
        get_model("ssd_tiny", bn_group=2)


def test_an_unknown_model_suggests_the_nearest():
    with pytest.raises(UserError, match="unknown model '5'"):
        get_model(5)
    with pytest.raises(UserError, match="unknown model"):
        get_model(["ssd_tiny"])
    with pytest.raises(UserError, match="ssd_resnet34"):
        get_model("ssd_resnet43")


def test_a_gpu_that_is_not_there():
    for ctx in (mx.gpu(99), [mx.cpu(), mx.gpu(99)]):
        with pytest.raises(UserError, match=r"ctx is gpu\(99\), and MXNet sees (no GPU|GPUs 0 to .*) here"):
            get_model("ssd_tiny", ctx=ctx)


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize(
    ("model", "layout", "shape", "wanted"),
    [
        ("ssd_tiny", "NCHW", (1, 3, 193, 193), r"\(N, 3, 192, 192\)"),
        ("ssd_tiny", "NCHW", (1, 192, 192, 3), r"\(N, 3, 192, 192\)"),
        ("ssd_tiny", "NCHW", (3, 192, 192), r"\(N, 3, 192, 192\)"),
        ("ssd_tiny", "NHWC", (1, 3, 192, 192), r"\(N, 192, 192, 3\)"),
        ("resnet18", "NCHW", (1, 4, 64, 64), r"\(N, 3, height, width\)"),
    ],
)
def test_images_of_another_shape(model, layout, shape, wanted, hybridize):
    """193 pixels would pass through an SSD and give as many boxes as no anchors are for."""
    net = get_model(model, classes=["a"], layout=layout)
    net.hybridize(hybridize)
    with pytest.raises(UserError, match=f"^{model} takes images of shape {wanted}, got .*{shape[-1]}\\)$"):
        net(mx.nd.zeros(shape))


def test_images_of_another_type():
    net = get_model("ssd_tiny", classes=["a"])
    for dtype in ("uint8", "float16", "float64"):
        with pytest.raises(UserError, match=f"ssd_tiny takes normalised images of float32, got {dtype}"):
            net(mx.nd.zeros((1, 3, 192, 192), dtype=dtype))


def test_a_name_is_registered_once():
    row = model_row("ssd_tiny")
    with pytest.raises(ValueError, match="registered already"):
        register_model(ModelRow(**{**row.__dict__}))(lambda row, classes: None)


def test_parts_that_do_not_fit_name_both_numbers():
    from gluon_ssd.anchors import SSD300_COCO
    from gluon_ssd.data.preprocess import Preprocess
    from gluon_ssd.model_zoo.resnet import ResNet
    from gluon_ssd.model_zoo.specs import RESNETS
    from gluon_ssd.model_zoo.ssd import SSD

    with pytest.raises(ValueError, match="give 1 feature maps, the default boxes are for 6"):
        SSD("x", ResNet(RESNETS["resnet34"].truncated()), (), SSD300_COCO, ["a"], Preprocess())


def test_a_backbone_publishes_channels_and_strides():
    assert get_model("ssd_resnet34").backbone.feature_info == [(256, 8)]
    assert get_model("ssd_tiny").backbone.feature_info == [(64, 8), (128, 16)]
