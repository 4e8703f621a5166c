"""The same weights in both layouts and precisions."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from golden import load_golden, relative_error, seeded, seeded_weights, to_size_major
from mxnet import autograd
from random_nets import trial_size

from gluon_ssd import UserError, get_model, list_models
from gluon_ssd.convert import load_torch_state, to_torch_state
from gluon_ssd.model_zoo.transfer import set_parameters, transfer
from gluon_ssd.nn import all_to_layout, compute_precision, weight_layout

pytestmark = pytest.mark.once

SIZES = {"ssd_tiny": (192, 192), "retinanet_resnet50": (65, 96), "resnext50_32x4d": (64, 96)}
# One of every kind; the others are the same blocks with other numbers.
KINDS = list(SIZES)


def build(name, seed=1, **options):
    mx.random.seed(seed)
    return get_model(name, classes=["a", "b"], **options)


def arrays_of(net):
    return {name: parameter.data().asnumpy() for name, parameter in net.collect_params().items()}


def run(net, images):
    """Outputs as arrays; ``images`` are NCHW."""
    outputs = net(net.arrange(mx.nd.array(images)))
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    assert all(output.dtype == np.float32 for output in outputs)
    return [output.asnumpy() for output in outputs]


def assert_close(ours, theirs, share):
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=0, atol=share * np.abs(b).max())


def pictures(name, batch=1):
    return np.random.RandomState(0).normal(size=(batch, 3, *SIZES[name])).astype(np.float32)


@pytest.mark.parametrize(
    ("layout", "dtype", "share"),
    [("NHWC", "float32", 1e-5), ("NCHW", "float16", 1e-2), ("NHWC", "float16", 1e-2)],
)
@pytest.mark.parametrize("name", KINDS)
def test_a_seed_gives_the_same_network(name, layout, dtype, share):
    images = pictures(name)
    expected = run(build(name), images)
    net = build(name, layout=layout, dtype=dtype)
    assert_close(run(net, images), expected, share)
    if name == "ssd_tiny":
        net.hybridize()
        assert_close(run(net, images), expected, share)
    assert (net.layout, net.dtype) == (layout, dtype)
    again = get_model(name, classes=net.classes, **net.options)
    assert (again.layout, again.dtype) == (layout, dtype)


# Models with ReLU6 or MobileNetV3's activation.
BOUNDED = ("efficientnet", "ssdlite")


def set_gammas(net, name):
    """So that random weights give maps that 16 bits can hold.

    With the 1 that gammas start from, a hundred blocks of a ResNet add up to more than float16 has numbers
    for, and most of what ReLU6 bounds would be at its bounds.
    """
    for parameter in net.collect_params(".*gamma").values():
        parameter.set_data(mx.nd.full(parameter.shape, 0.7 if name.startswith(BOUNDED) else 0.3))


@pytest.mark.parametrize("name", [name for name in list_models() if name not in KINDS])
def test_every_other_model_is_the_same_in_nhwc_and_half(name, tmp_path, monkeypatch):
    """By way of files, so that weights are drawn once."""
    path = str(tmp_path / "net.params")
    source = build(name)
    set_gammas(source, name)
    source.save_parameters(path)
    size = trial_size(source) if name.startswith("ssd") else (64, 96)
    images = np.random.RandomState(0).normal(size=(1, 3, *size)).astype(np.float32)
    expected = run(source, images)
    with monkeypatch.context() as patch:
        patch.setattr(mx.gluon.HybridBlock, "initialize", lambda net, **settings: None)
        nets = [get_model(name, source.classes, "NHWC", dtype) for dtype in ("float32", "float16")]
    for net, share in zip(nets, (1e-5, 1e-2)):
        net.fixed_size = source.fixed_size
        net.load_parameters(path)
        assert_close(run(net, images), expected, share)
    net.save_parameters(path)
    source.load_parameters(path)
    assert_close(run(source, images), expected, 1e-2)


@pytest.mark.parametrize("name", list_models())
def test_every_model_can_be_built_half_and_nhwc(name, monkeypatch):
    # Drawing the weights of all models would take minutes; their shapes and types are enough here.
    monkeypatch.setattr(mx.gluon.HybridBlock, "initialize", lambda net, **settings: None)
    net = get_model(name, layout="NHWC", dtype="float16")
    plain = {key: parameter.shape for key, parameter in get_model(name).collect_params().items()}
    half = net.collect_params()
    assert list(half) == list(plain)
    count = sum(np.prod(parameter.shape) for parameter in half.values())
    assert count == sum(np.prod(shape) for shape in plain.values())
    kinds = {np.dtype(p.dtype).name for key, p in half.items() if "norm" not in key}
    assert kinds == {"float16"}
    assert {np.dtype(p.dtype).name for key, p in half.items() if "norm" in key} <= {"float32"}


@pytest.mark.parametrize(("layout", "dtype"), [("NHWC", "float32"), ("NHWC", "float16")])
def test_the_reference_in_another_layout(layout, dtype):
    net = get_model("ssd_resnet50", layout=layout, dtype=dtype)
    state = seeded_weights("ssd300_resnet50_dle")
    load_torch_state(net, state)
    outputs = load_golden("ssd300_resnet50_dle_outputs")
    net.hybridize()
    share = 1e-5 if dtype == "float32" else 1e-2
    for key, value in zip(("conf", "loc"), run(net, seeded.image_input(7, (2, 3, 300, 300)))):
        assert relative_error(outputs, key, to_size_major(value, axis=1).transpose(0, 2, 1)) < share
    back = to_torch_state(net)
    for name, array in back.items():
        assert array.shape == state[name].shape
        np.testing.assert_allclose(array, state[name], rtol=0 if dtype == "float32" else 1e-3, atol=1e-6)


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize(("saved", "loaded"), [("NCHW", "NHWC"), ("NHWC", "NCHW")])
def test_files_load_into_the_other_layout_and_type(tmp_path, saved, loaded, by_name):
    path = str(tmp_path / "net.params")
    source = build("ssd_tiny", layout=saved)
    if by_name:
        source.collect_params().save(path)
    else:
        source.save_parameters(path)
    images = pictures("ssd_tiny")
    for dtype, share in (("float32", 1e-5), ("float16", 1e-2)):
        net = build("ssd_tiny", seed=9, layout=loaded, dtype=dtype)
        net.load_parameters(path)
        assert_close(run(net, images), run(source, images), share)
        assert np.dtype(net.backbone.stem[0].weight.dtype).name == dtype


def test_half_networks_save_and_load(tmp_path):
    path = str(tmp_path / "net.params")
    source = build("ssd_tiny", dtype="float16")
    source.save_parameters(path)
    assert mx.nd.load(path)["backbone.stem.0.weight"].dtype == np.float16
    images = pictures("ssd_tiny")
    for dtype in ("float16", "float32"):
        net = build("ssd_tiny", seed=9, dtype=dtype)
        net.load_parameters(path)
        assert_close(run(net, images), run(source, images), 1e-2)


def test_checkpoints_go_into_the_other_layout():
    source = build("ssd_tiny")
    images = pictures("ssd_tiny")
    net, moved = (build("ssd_tiny", seed=9, layout="NHWC") for _ in range(2))
    set_parameters(net, arrays_of(source), "a file")
    transfer(moved, arrays_of(source), source.classes)
    for filled in (net, moved):
        assert_close(run(filled, images), run(source, images), 1e-5)
    other = get_model("ssd_tiny", classes=["b", "c"], layout="NHWC")
    report = transfer(other, arrays_of(source), source.classes)
    assert len(report.remapped) == 10 and not report.kept_initial
    # "b" is channel 2 there and 1 here.
    assert_close([run(other, images)[0][..., 1]], [run(source, images)[0][..., 2]], 1e-5)


def test_layouts_are_told_by_shapes():
    shapes = {name: array.shape for name, array in arrays_of(build("ssd_tiny")).items()}
    assert weight_layout(shapes.values()) == "NCHW"
    # (32, 3, 3, 3) alone says nothing.
    assert weight_layout([(32, 3, 3, 3)]) == "NCHW" == weight_layout([])
    turned = all_to_layout({"a": np.zeros((8, 4, 1, 1)), "b": np.zeros(8)}, "NHWC")
    assert turned["a"].shape == (8, 1, 1, 4) and turned["b"].shape == (8,)
    assert weight_layout(array.shape for array in turned.values()) == "NHWC"


@pytest.mark.parametrize(("layout", "dtype"), [("NHWC", "float32"), ("NHWC", "float16")])
def test_gradients_are_the_same_in_both_layouts(layout, dtype):
    images = pictures("ssd_tiny", batch=2)
    grads = []
    for options in ({}, {"layout": layout, "dtype": dtype}):
        net = build("ssd_tiny", **options)
        with autograd.record():
            cls_preds, box_preds = net(net.arrange(mx.nd.array(images)))
            # Of the finest map only: a norm over the two pixels of the last one would decide by rounding.
            loss = (cls_preds[:, :2000] ** 2).mean() + (box_preds[:, :2000] ** 2).mean()
            # float16 gradients need a scale not to vanish.
            scaled = loss * 128
        scaled.backward()
        found = {n: p.grad().asnumpy() for n, p in net.collect_params().items() if p.grad_req != "null"}
        grads.append(all_to_layout(found, "NCHW"))
    # Sums in another order differ by 5e-6. Where that turns a ReLU or another place of a maximum, gradients
    # differ by up to 5e-3, in one layout too when its images change by their last bit or swap places.
    share = 1e-2 if dtype == "float32" else 0.1
    for layer in ("convpredictor0_conv0", "resnetmlperf0_stage2_conv1", "resnetmlperf0_conv0"):
        name = f"ssd0_{layer}_weight"
        ours, theirs = (found[name].astype(np.float32) for found in reversed(grads))
        assert np.linalg.norm(ours - theirs) < share * np.linalg.norm(theirs)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["ssd_tiny", "resnext50_32x4d"])
def test_mixed_precision_in_both_layouts(name, precision, layout):
    images = pictures(name)
    net = build(name, layout=layout)
    expected = run(net, images)
    net.hybridize()
    compute_precision(net, precision)
    mixed = run(net, images)
    assert_close(mixed, expected, 5e-2)
    assert any(np.abs(a - b).max() > 0 for a, b in zip(mixed, expected))
    compute_precision(net, None)
    assert_close(run(net, images), expected, 1e-5)


@pytest.mark.parametrize("name", list_models())
def test_every_model_computes_in_mixed_precision(name):
    mx.random.seed(0)
    net = get_model(name, classes=["a", "b"])
    if name.startswith(BOUNDED):
        set_gammas(net, name)
    images = mx.nd.random.normal(shape=(1, 3, *trial_size(net)))
    expected = run(net, images)
    net.hybridize()
    compute_precision(net, "bfloat16")
    mixed = run(net, images)
    assert_close(mixed, expected, 5e-2)
    assert any(np.abs(a - b).max() > 0 for a, b in zip(mixed, expected))


def test_half_norm_parameters_on_request():
    net = build("ssd_tiny", dtype="float16", bn_fp16=True)
    norm = net.backbone.stem[1]
    kinds = [np.dtype(p.dtype).name for p in (norm.gamma, norm.beta, norm.running_mean, norm.running_var)]
    assert kinds == ["float16", "float16", "float32", "float32"]
    images = pictures("ssd_tiny")
    assert_close(run(net, images), run(build("ssd_tiny"), images), 1e-2)
    assert net.options == {"dtype": "float16", "bn_fp16": True}


def test_wrong_layouts_and_types_are_refused():
    with pytest.raises(UserError, match="unknown layout 'NWHC'; did you mean NHWC"):
        get_model("ssd_tiny", layout="NWHC")
    with pytest.raises(UserError, match="unknown dtype 'fp16'"):
        get_model("ssd_tiny", dtype="fp16")
    with pytest.raises(UserError, match="bn_fp16 is 'no'; give True or False"):
        get_model("ssd_tiny", dtype="float16", bn_fp16="no")
    with pytest.raises(UserError, match="bn_fp16 is for networks of dtype float16"):
        get_model("ssd_tiny", bn_fp16=True)
    for ctx in ("cpu", []):
        with pytest.raises(UserError, match="ctx is .*; give an MXNet context"):
            get_model("ssd_tiny", ctx=ctx)
    with pytest.raises(UserError, match="GluonCV's networks take layout NCHW and dtype float32 only"):
        get_model("ssd_resnet34", layout="NHWC", backbone="gluoncv:mobilenet1.0")
