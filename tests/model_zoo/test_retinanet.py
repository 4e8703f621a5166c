from __future__ import annotations

import json

import mxnet as mx
import numpy as np
import pytest
from golden import FOLDER, load_golden, relative_error, seeded, seeded_weights
from mxnet import autograd

from gluon_ssd import UserError, get_model, load
from gluon_ssd.convert import load_torch_state, to_torch_state
from gluon_ssd.data.coco_names import COCO_CLASSES, COCO_IDS
from gluon_ssd.weights.checkpoint import save_checkpoint

pytestmark = pytest.mark.once

FACTS = json.loads((FOLDER / "retinanet_facts.json").read_text())
IMAGE = seeded.image_input(7, (1, 3, 256, 256))


@pytest.mark.parametrize(
    ("model", "reference", "classes"),
    [
        ("retinanet_resnext50_32x4d", "retinanet_resnext50", None),
        ("retinanet_resnet50", "torchvision_retinanet_resnet50", [f"category {i}" for i in range(91)]),
    ],
)
def test_equals_its_reference(model, reference, classes):
    net = get_model(model, classes=classes)
    state = seeded_weights(reference)
    load_torch_state(net, state)
    net.hybridize()
    outputs = load_golden(f"{reference}_outputs")
    for key, value in zip(("cls_logits", "bbox_regression"), net(mx.nd.array(IMAGE))):
        assert relative_error(outputs, key, value.asnumpy()) < 1e-5
    back = to_torch_state(net)
    assert set(state) - set(back) == {name for name in state if name.endswith("num_batches_tracked")}
    assert all((back[name] == state[name]).all() for name in back)


@pytest.mark.parametrize(("dtype", "share"), [("float32", 1e-5), ("float16", 1e-2)])
def test_equals_its_reference_in_the_other_layout(dtype, share):
    net = get_model("retinanet_resnext50_32x4d", layout="NHWC", dtype=dtype)
    load_torch_state(net, seeded_weights("retinanet_resnext50"))
    net.hybridize()
    outputs = load_golden("retinanet_resnext50_outputs")
    predictions = net(net.arrange(mx.nd.array(IMAGE)))
    for key, value in zip(("cls_logits", "bbox_regression"), predictions):
        assert relative_error(outputs, key, value.asnumpy()) < share


def test_trains_what_the_reference_trains():
    net = get_model("retinanet_resnext50_32x4d")
    assert len(net.classes) == 264
    trained = {name: p for name, p in net.collect_params().items() if p.grad_req != "null"}
    assert len(trained) == FACTS["trainable_parameter_count"]
    assert sum(np.prod(p.shape) for p in trained.values()) == FACTS["trainable_element_count"]
    names = (FOLDER / "retinanet_v2.0_tensor_names.txt").read_text().split()
    weights = {f"module.{name}": value for name, value in to_torch_state(net).items()}
    buffers = ("running_mean", "running_var", "bn1", "bn2", "bn3", "downsample.1")
    assert sorted(name for name in weights if not any(part in name for part in buffers)) == names


def test_starts_as_the_reference_starts():
    mx.random.seed(0)
    state = to_torch_state(get_model("retinanet_resnext50_32x4d"))
    head = "head.classification_head"
    assert (state[f"{head}.cls_logits.bias"] == np.float32(FACTS["cls_logits_bias_fill"])).all()
    assert state[f"{head}.conv.0.weight"].std() == pytest.approx(FACTS["head_conv_weight_std"], rel=0.01)
    assert state[f"{head}.cls_logits.weight"].std() == pytest.approx(0.01, rel=0.01)
    lateral = state["backbone.fpn.inner_blocks.0.weight"]
    assert np.abs(lateral).max() * np.sqrt(512 / 3) == pytest.approx(1, abs=1e-3)
    zero = [name for name in state if name.endswith(".bias") and ("fpn" in name or "bbox_reg" in name)]
    assert len(zero) == 9 and not any(state[name].any() for name in zero)


def test_published_weights_of_torchvision_fit_the_80_names():
    """Old names and 91 channels, as in the published file; rows of a class go to the class of that name."""
    state = seeded_weights("torchvision_retinanet_resnet50")
    old = {}
    for name, value in state.items():
        parts = name.replace("inner_blocks.0.0", "inner_blocks.0").split(".")
        if "_blocks." in name and parts[-3].isdigit():
            parts.pop(-2)
        if ".conv." in name and "head" in name:
            parts[-3:-1] = [str(2 * int(parts[-3]))]
        old[".".join(parts)] = value
    assert "head.classification_head.conv.6.weight" in old and "backbone.fpn.layer_blocks.2.bias" in old
    full = get_model("retinanet_resnet50", classes=[f"category {i}" for i in range(91)])
    coco = get_model("retinanet_resnet50")
    few = get_model("retinanet_resnet50", classes=["toothbrush", "person"])
    assert coco.classes == COCO_CLASSES and COCO_IDS["person"] == 1 and COCO_IDS["toothbrush"] == 90
    for net in (full, coco, few):
        load_torch_state(net, old)
        assert net.backbone.stem[1].epsilon == 0 and net.options == {"norm_epsilon": 0}
    image = mx.nd.array(IMAGE[..., :128, :96])
    wanted = full(image)[0].asnumpy()
    np.testing.assert_allclose(coco(image)[0].asnumpy(), wanted[..., list(COCO_IDS.values())], atol=1e-4)
    np.testing.assert_allclose(few(image)[0].asnumpy(), wanted[..., [90, 1]], atol=1e-4)

    back = to_torch_state(coco)
    rows = np.arange(9)[:, None] * 91 + list(COCO_IDS.values())
    name = "head.classification_head.cls_logits.bias"
    assert back[name].shape == (819,) and (back[name][rows] == state[name][rows]).all()
    load_torch_state(few, back)
    np.testing.assert_allclose(few(image)[0].asnumpy(), wanted[..., [90, 1]], atol=1e-4)


def test_epsilon_of_the_norms_takes_effect_after_a_first_call():
    net = get_model("retinanet_resnet50", classes=["a"], norm_epsilon=0.5)
    net.hybridize()
    image = mx.nd.array(IMAGE[..., :64, :64])
    outputs = {0.5: net(image)[1].asnumpy()}
    for epsilon in (0, 1e-5, 0.5):
        net.set_norm_epsilon(epsilon)
        outputs.setdefault(epsilon, net(image)[1].asnumpy())
    assert np.abs(outputs[0] - outputs[1e-5]).max() < 1e-3 < np.abs(outputs[0] - outputs[0.5]).max()
    assert (net(image)[1].asnumpy() == outputs[0.5]).all()


def test_frozen_norms_are_constants_in_training_too():
    net = get_model("retinanet_resnet50", classes=["a"], trainable_layers=5)
    image = mx.nd.array(IMAGE[..., :64, :64])
    before = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    still = net(image)[1].asnumpy()
    with autograd.record():
        boxes = net(image)[1]
        loss = boxes.sum()
    loss.backward()
    np.testing.assert_allclose(boxes.asnumpy(), still, atol=1e-5)
    after = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    assert all((before[name] == after[name]).all() for name in before)
    assert net.backbone.stem[0].weight.grad().asnumpy().any()
    assert net.backbone.stem[1].gamma.grad_req == "null"


@pytest.mark.parametrize("size", [(64, 96), (65, 130), (111, 90)])
def test_any_input_size(size):
    net = get_model("retinanet_resnet50", classes=["a", "b"])
    cls_preds, box_preds = net(mx.nd.zeros((1, 3, *size)))
    count = len(net.anchors(*size))
    assert cls_preds.shape == (1, count, 2) and box_preds.shape == (1, count, 4)


def test_options_are_checked():
    with pytest.raises(UserError, match="trainable_layers is 6; retinanet_resnet50 takes 0 to 5"):
        get_model("retinanet_resnet50", trainable_layers=6)
    with pytest.raises(UserError, match="unknown option of retinanet_resnet50 'trainable_layer'"):
        get_model("retinanet_resnet50", trainable_layer=2)


def test_numbers_of_numpy_are_numbers(tmp_path):
    """And what a checkpoint keeps of them."""
    size = np.array([64, 96])
    options = {"trainable_layers": np.int64(2), "norm_epsilon": np.float32(0.5), "input_size": size}
    net = get_model("retinanet_resnet50", classes=["a"], **options)
    assert net.input_size == (64, 96)
    save_checkpoint(tmp_path / "a.ckpt", net)
    again = load(tmp_path / "a.ckpt", device="cpu")
    assert again.options == {"trainable_layers": 2, "norm_epsilon": 0.5, "input_size": [64, 96]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trainable_layers": "3"}, "trainable_layers is '3'; retinanet_resnet50 takes 0 to 5"),
        ({"trainable_layers": None}, "trainable_layers is None; "),
        ({"trainable_layers": 2.5}, "trainable_layers is 2.5; "),
        ({"norm_epsilon": -1}, "norm_epsilon is -1; give a number from 0"),
        ({"norm_epsilon": float("nan")}, "norm_epsilon is nan; "),
        ({"norm_epsilon": "x"}, "norm_epsilon is 'x'; "),
        ({"input_size": 800}, "input_size is 800; give height and width in pixels"),
        ({"input_size": (300.5, 300)}, r"input_size is \(300.5, 300\); "),
        ({"input_size": "ab"}, "input_size is 'ab'; "),
        ({"input_size": (64, 20)}, r"input_size is \(64, 20\); "),
    ],
)
def test_values_of_options_are_checked(options, message):
    with pytest.raises(UserError, match=message):
        get_model("retinanet_resnet50", classes=["a"], **options)
