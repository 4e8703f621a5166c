from __future__ import annotations

import json

import mxnet as mx
import numpy as np
import pytest
from golden import FOLDER, reference_names, seeded
from mxnet import autograd

from gluon_ssd import Detector, UserError, get_model, list_models
from gluon_ssd.convert import load_torch_state, to_torch_state
from gluon_ssd.model_zoo import as_detector

pytestmark = pytest.mark.once

BACKBONES = list_models("backbone")


def test_what_there_is():
    small = [f"efficientnet_lite{number}" for number in range(3)]
    names = ["resnet101", "resnet152", "resnet18", "resnet34", "resnet50", "resnext50_32x4d"]
    assert small + names == BACKBONES
    assert sorted(BACKBONES + list_models("detector")) == list_models()
    with pytest.raises(UserError, match="unknown kind of model 'detectors'; did you mean detector"):
        list_models("detectors")


@pytest.mark.parametrize(
    ("name", "parameters"),
    # As torchvision's documentation states them.
    [
        ("resnet18", 11689512),
        ("resnet34", 21797672),
        ("resnet50", 25557032),
        ("resnet101", 44549160),
        ("resnet152", 60192808),
        ("resnext50_32x4d", 25028904),
    ],
)
def test_as_many_parameters_as_torchvisions(name, parameters):
    state = to_torch_state(get_model(name))
    assert sum(value.size for key, value in state.items() if "running" not in key) == parameters


def test_resnet34_has_torchvisions_names_and_shapes():
    golden = json.loads((FOLDER / "resnet34_pickle_mapping.json").read_text())
    state = to_torch_state(get_model("resnet34"))
    kept = {row["torch"]: tuple(row["shape"]) for row in golden["mapping"]}
    dropped = {name for name in golden["dropped"] if not name.endswith("num_batches_tracked")}
    assert set(state) == set(kept) | dropped
    assert all(state[name].shape == shape for name, shape in kept.items())


@pytest.mark.parametrize(
    ("name", "reference"),
    [("resnext50_32x4d", "retinanet_resnext50"), ("resnet50", "torchvision_retinanet_resnet50")],
)
def test_bodies_have_torchvisions_names_and_shapes(name, reference):
    body = "backbone.body."
    shapes = {
        row["name"][len(body) :]: tuple(row["shape"])
        for row in reference_names(reference)
        if row["name"].startswith(body) and not row["name"].endswith("num_batches_tracked")
    }
    state = {key: value.shape for key, value in to_torch_state(get_model(name)).items()}
    assert state.pop("fc.weight") == (1000, 2048) and state.pop("fc.bias") == (1000,)
    assert state == shapes


@pytest.mark.parametrize("name", BACKBONES)
def test_maps_are_as_announced(name):
    net = get_model(name)
    image = mx.nd.random.normal(shape=(1, 3, 64, 96))
    assert net(image).shape == (1, 1000)
    maps = net.features(image)
    assert [stride for _, stride in net.feature_info] == [4, 8, 16, 32]
    assert [m.shape for m in maps] == [(1, c, 64 // s, 96 // s) for c, s in net.feature_info]


def test_weights_load_whole_and_decide_the_outputs():
    one, two = get_model("resnet18"), get_model("resnet18")
    shapes = {name: value.shape for name, value in to_torch_state(one).items()}
    state = seeded.seeded_state(shapes, 3)
    state["bn1.num_batches_tracked"] = np.zeros((), np.int64)
    image = mx.nd.random.normal(shape=(1, 3, 64, 64))
    for net in (one, two):
        load_torch_state(net, state)
    logits = one(image).asnumpy()
    assert (logits == two(image).asnumpy()).all()
    pooled = one.features(image)[-1].asnumpy().mean(axis=(2, 3))
    np.testing.assert_allclose(logits, pooled @ state["fc.weight"].T + state["fc.bias"], rtol=1e-3, atol=1e-3)
    del state["fc.bias"]
    with pytest.raises(UserError, match="do not fit resnet18; missing: fc.bias"):
        load_torch_state(one, state)


def test_backbones_are_no_detectors():
    net = get_model("resnet18", classes=["cat", "dog"])
    assert net(mx.nd.zeros((1, 3, 32, 32))).shape == (1, 2)
    for use in (as_detector, Detector):
        with pytest.raises(UserError, match="resnet18 is a backbone, not a detector"):
            use(net)


def test_only_gluoncvs_networks_are_foreign_backbones(monkeypatch):
    with pytest.raises(UserError, match="backbone is 'resnet50'; write gluoncv:NAME"):
        get_model("ssd_resnet34", backbone="resnet50")
    with pytest.raises(UserError, match="backbone is 50; write gluoncv:NAME"):
        get_model("ssd_resnet34", backbone=50)
    monkeypatch.setitem(__import__("sys").modules, "gluoncv", None)
    with pytest.raises(UserError, match=r'gluoncv is not installed; pip install "gluon_ssd\[gluoncv\]"'):
        get_model("ssd_resnet34", backbone="gluoncv:mobilenet1.0")


@pytest.mark.parametrize(
    ("name", "channels", "sizes"),
    [
        ("mobilenetv3_small", [24, 48, 576], (38, 19, 10)),
        ("resnet18_v1b", [128, 256, 512], (38, 19, 10)),
        ("vgg11", [512, 512, 512], (37, 18, 9)),
        ("densenet121", [512, 1024, 1024], (37, 18, 9)),
    ],
)
def test_gluoncv_networks_as_backbones(gluoncv, name, channels, sizes):
    options = {"classes": ["cat", "dog"], "backbone": f"gluoncv:{name}"}
    net, again = (get_model("ssd_resnet34_bn", **options) for _ in range(2))
    assert list(net.collect_params()) == list(again.collect_params())
    assert net.backbone.feature_info == list(zip(channels, (8, 16, 32)))
    assert net.default_boxes.map_sizes == (*sizes, 5, 3, 1)
    images = mx.nd.random.normal(shape=(2, 3, 300, 300))
    net.hybridize()
    with autograd.record():
        cls_preds, box_preds = net(images)
        loss = cls_preds.mean() + box_preds.mean()
    loss.backward()
    count = len(net.anchors(300, 300))
    assert cls_preds.shape == (2, count, 3) and box_preds.shape == (2, count, 4)
    assert next(iter(net.backbone.collect_params(".*weight").values())).grad().asnumpy().any()
    with pytest.raises(UserError, match="no PyTorch counterpart"):
        to_torch_state(net)


def test_gluoncv_networks_that_cannot_be_backbones_are_refused(gluoncv):
    with pytest.raises(UserError, match="unknown GluonCV network 'mobilenetv3_smal'; did you mean"):
        get_model("ssd_resnet34", backbone="gluoncv:mobilenetv3_smal")
    with pytest.raises(UserError, match="cifar_resnet20_v1: its layers do not give maps"):
        get_model("ssd_resnet34", backbone="gluoncv:cifar_resnet20_v1")
    with pytest.raises(UserError, match="gluoncv:yolo3_darknet53_coco: "):
        get_model("ssd_resnet34", backbone="gluoncv:yolo3_darknet53_coco")


def test_gluoncv_is_imported_beside_a_pytorch_that_it_refuses(gluoncv, python):
    code = (
        "import sys, types\n"
        "torch = sys.modules['torch'] = types.ModuleType('torch')\n"
        "torch.__version__, torch.Tensor = '2.13.0', type('Tensor', (), {})\n"
        "from gluon_ssd.model_zoo.gluoncv_backbone import import_gluoncv\n"
        "print(len(import_gluoncv().model_zoo.get_model_list()) > 100, sys.modules['torch'] is torch)"
    )
    assert python(code).out == "True True\n"
