"""Files of the names, shapes and structure of those that are published without a SHA-256 in their names."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from gluon_ssd import UserError
from gluon_ssd.convert import write_torch
from gluon_ssd.model_zoo import model_row
from gluon_ssd.model_zoo.registry import model_outline
from gluon_ssd.weights import WEIGHTS
from gluon_ssd.weights.conversion import Source, recognise
from gluon_ssd.weights.pretrained import find_trained

pytestmark = pytest.mark.once

FILES = {
    "ssd_resnet34_1200": "resnet34-ssd1200.pytorch",
    "ssd_resnet50": "nvidia_ssdpyt_amp_200703.pt",
    "retinanet_resnext50_32x4d": "resnext50_32x4d_fpn.pth",
}


@pytest.fixture(autouse=True)
def mirror(tmp_path, monkeypatch):
    """An empty mirror, and a store of its own."""
    monkeypatch.setenv("GLUON_SSD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GLUON_SSD_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()
    return tmp_path / "mirror"


def state_of(model):
    """A tensor of its own value for every name of the model's reference."""
    net = model_outline(model)
    parameters, state = net.collect_params(), {}
    for entry in net.reference_names():
        for name, part in zip(entry.sources, entry.split(np.zeros(parameters[entry.name].shape, np.bool_))):
            state[name] = np.full(part.shape, len(state), np.float32)
    return state


def check(model, monkeypatch, path):
    """The published name gives a network whose parameters are those of the reference, one by one."""
    if WEIGHTS[model].md5:
        digest = hashlib.md5(path.read_bytes()).hexdigest()
        monkeypatch.setitem(WEIGHTS, model, replace(WEIGHTS[model], md5=digest))
    names = model_row(model).default_classes
    trained = find_trained(model, "pretrained", ["person"])
    assert trained.path.name == path.name and trained.classes == names
    net, state = model_outline(model), state_of(model)
    assert trained.parameters.keys() == set(net.collect_params())
    for entry in net.reference_names():
        wanted = entry.join([state[name] for name in entry.sources])
        assert np.array_equal(trained.parameters[entry.name], wanted), entry.name


@pytest.mark.parametrize("model", FILES)
def test_a_state_dict_under_the_published_name(model, mirror, monkeypatch):
    assert WEIGHTS[model].file == FILES[model] and WEIGHTS[model].url.endswith(f"/{FILES[model]}")
    write_torch(state_of(model), mirror / FILES[model])
    check(model, monkeypatch, mirror / FILES[model])


def module(torch, state, kind):
    """Nested modules with the tensors of ``state``; what norms count are buffers."""
    root = kind()
    for name, value in state.items():
        *parts, leaf = name.split(".")
        holder = root
        for part in parts:
            if part not in holder._modules:
                holder.add_module(part, torch.nn.Module())
            holder = holder._modules[part]
        if "running" in leaf:
            holder.register_buffer(leaf, torch.from_numpy(value))
        else:
            holder.register_parameter(leaf, torch.nn.Parameter(torch.from_numpy(value)))
    return root


@pytest.mark.parametrize("model", FILES)
def test_the_structure_of_the_published_file(model, mirror, monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")
    path, state = mirror / FILES[model], state_of(model)
    if model == "ssd_resnet50":
        tensors = {name: torch.from_numpy(value) for name, value in state.items()}
        torch.save({"epoch": 64, "iteration": 1, "optimizer": {"state": {}}, "model": tensors}, path)
    elif model == "ssd_resnet34_1200":
        net = module(torch, state, torch.nn.Module)
        net.size, net.encoder = (1200, 1200), {"dboxes": torch.ones(15130, 4)}
        torch.save(net, path, _use_new_zipfile_serialization=False)
    else:
        torch.jit.script(module(torch, state, torch.nn.Module)).save(str(path))
    check(model, monkeypatch, path)


def test_the_large_ssd_is_told_from_the_small_one_by_the_published_name_alone(tmp_path):
    state = state_of("ssd_resnet34_1200")
    assert state_of("ssd_resnet34").keys() == state.keys()
    path = tmp_path / FILES["ssd_resnet34_1200"]
    assert recognise(Source(path, "torch", state)) == "ssd_resnet34_1200"
    assert recognise(Source(tmp_path / "a.pth", "torch", state)) == "ssd_resnet34"
    write_torch(state, path)
    with pytest.raises(UserError, match="the published weights of ssd_resnet34_1200, not of ssd_resnet34$"):
        find_trained("ssd_resnet34", path, ["cat"])
    path.rename(tmp_path / "a.pth")
    assert find_trained("ssd_resnet34_1200", tmp_path / "a.pth", ["cat"]).parameters


@pytest.mark.parametrize("model", FILES)
def test_weights_of_another_class_count_say_so(model, tmp_path):
    state = state_of(model)
    name = next(name for name in state if name.endswith(("conf.0.bias", "cls_logits.bias")))
    state[name] = state[name][:-1]
    write_torch(state, tmp_path / "a.pth")
    with pytest.raises(UserError, match=f"a.pth: these weights do not fit {model}; .*{name}") as error:
        find_trained(model, tmp_path / "a.pth", ["cat"])
    assert "\n" not in str(error.value)
