"""Backbones that start from files of every kind."""

import pickle
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from small import TRAIN

from gluon_ssd import get_model, list_models
from gluon_ssd.convert import load_backbone, read_weights, write_params, write_torch
from gluon_ssd.model_zoo.registry import model_outline
from gluon_ssd.tensor_files.backbone_names import torch_names


def backbone_files(model, folder):
    """One state of the backbone of a detector, in every kind of file that it may come in."""
    outline = model_outline(model)
    prefix = outline.backbone.prefix
    random = np.random.RandomState(0)
    state = {
        name[len(prefix) :]: random.uniform(0.5, 1.5, parameter.shape).astype(np.float32)
        for name, parameter in outline.backbone.collect_params().items()
    }
    write_params(state, folder / "a.params")
    Path(folder, "a.pickle").write_bytes(pickle.dumps(state))
    half = {name: a.astype(np.float16) for name, a in state.items()}
    turned = {name: a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for name, a in half.items()}
    stem = turned.get("conv0_weight")
    if stem is not None and stem.shape[1] == 7:  # as NVIDIA trains in NHWC
        turned["conv0_weight"] = np.concatenate([stem, np.ones_like(stem[..., :1])], 3)
    write_params(turned, folder / "half_nhwc.params")
    names = ["a.params", "a.pickle", "half_nhwc.params"]
    if stem is None:
        entries = outline.backbone.reference_names()
        named = {entry.sources[0]: state[entry.name[len(prefix) :]] for entry in entries}
        write_torch(named, folder / "a.pth")
        names.append("a.pth")
    elif model != "ssd_tiny":
        write_torch(torch_names(state), folder / "a.pth")
        names.append("a.pth")
    return state, names


@pytest.mark.parametrize(("model", "file"), [("ssd_tiny", 0), ("ssd_tiny", 1), ("ssd_resnet18", 3)])
def test_training_starts_from_a_backbone_of_every_kind_of_file(cli, shapes, tmp_path, model, file):
    """.params, .pickle and .pth; the rate is too small to move a weight."""
    state, names = backbone_files(model, tmp_path)
    options = ("--pretrained-backbone", names[file], "--data", shapes, "--eval-every", 0, "--lr", 1e-30)
    result = cli(*TRAIN, "--recipe", f"{model}/smoke", *options)
    assert result.status == 0, result.err
    trained = read_weights(tmp_path / "run" / "checkpoints" / "last.ckpt")[1]
    prefix = model_outline(model).backbone.prefix
    for name, value in state.items():
        if "running" not in name:  # norms have seen a batch
            assert np.array_equal(trained[prefix + name], value), name


@pytest.mark.parametrize("model", list_models("detector"))
def test_every_detector_takes_its_backbone_from_every_kind_of_file(tmp_path, model):
    state, names = backbone_files(model, tmp_path)
    net = model_outline(model)
    net.backbone.initialize()
    for name in names:
        for parameter in net.backbone.collect_params().values():
            parameter.set_data(mx.nd.zeros(parameter.shape))
        load_backbone(net, tmp_path / name)
        for key, parameter in net.backbone.collect_params().items():
            wanted = state[key[len(net.backbone.prefix) :]]
            wanted = wanted.astype(np.float16) if "half" in name else wanted
            assert np.array_equal(parameter.data().asnumpy(), wanted.astype(np.float32)), (name, key)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_padded_nhwc_file_goes_into_an_nhwc_network(tmp_path, dtype):
    state, _ = backbone_files("ssd_resnet18", tmp_path)
    net = get_model("ssd_resnet18", classes=["cat"], layout="NHWC", dtype=dtype)
    for name in ("half_nhwc.params", "a.pth"):
        load_backbone(net, tmp_path / name)
        weight = net.backbone.stem[0].weight.data().asnumpy()
        assert (weight.shape, weight.dtype) == ((64, 7, 7, 3), dtype)
        wanted = state["conv0_weight"].transpose(0, 2, 3, 1)
        np.testing.assert_allclose(weight, wanted, rtol=1e-3)
    assert read_weights(tmp_path / "half_nhwc.params")[1]["conv0_weight"].shape == (64, 7, 7, 4)
