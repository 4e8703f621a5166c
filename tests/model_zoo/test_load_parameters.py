"""Files into networks: what fits is loaded, everything else is one line and changes nothing."""

from __future__ import annotations

import json
import zipfile

import mxnet as mx
import numpy as np
import pytest

from gluon_ssd import UserError, get_model, load
from gluon_ssd.weights.checkpoint import save_checkpoint


def values(net):
    return {name: parameter.data().asnumpy() for name, parameter in net.collect_params().items()}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The bytes of a file of ssd_tiny, as Gluon writes it."""
    path = tmp_path_factory.mktemp("data") / "a.params"
    get_model("ssd_tiny", classes=["a"]).save_parameters(str(path))
    return path.read_bytes()


def flipped(data):
    changed = bytearray(data)
    changed[30] ^= 0x55
    return bytes(changed)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "cannot be read as a .params file: the file is cut off"),
        (lambda data: b"hello world" * 9, "cannot be read as a .params file: it does not start like one"),
        (lambda data: data[:10], "cannot be read as a .params file: the file is cut off"),
        (lambda data: data[: len(data) // 2], "cannot be read as a .params file: the file is cut off"),
        (lambda data: data[:-1], "cannot be read as a .params file: the file is cut off"),
        (flipped, "cannot be read as a .params file: it holds a sparse array"),
    ],
)
def test_a_damaged_file_is_one_line_and_changes_nothing(data, tmp_path, damage, message):
    path = tmp_path / "bad.params"
    path.write_bytes(damage(data))
    net = get_model("ssd_tiny", classes=["a"])
    before = values(net)
    with pytest.raises(UserError) as error:
        net.load_parameters(str(path))
    assert str(error.value) == f"{path}: {message}"
    assert all(np.array_equal(value, before[name]) for name, value in values(net).items())


def test_a_missing_file_and_a_folder(tmp_path):
    net = get_model("ssd_tiny", classes=["a"])
    with pytest.raises(UserError, match=r"gone.params: no such file$"):
        net.load_parameters("gone.params")
    with pytest.raises(UserError, match="is a folder, not a .params file"):
        net.load_parameters(tmp_path)


def test_arrays_without_names(tmp_path):
    mx.nd.save(str(tmp_path / "list.params"), [mx.nd.zeros(2)])
    with pytest.raises(UserError, match="its arrays have no names"):
        get_model("ssd_tiny", classes=["a"]).load_parameters(tmp_path / "list.params")


@pytest.mark.parametrize("by_name", [False, True])
def test_what_does_not_fit_is_named_and_changes_nothing(tmp_path, by_name):
    path = str(tmp_path / "two.params")
    other = get_model("ssd_tiny", classes=["a", "b"])
    other.collect_params().save(path) if by_name else other.save_parameters(path)
    net = get_model("ssd_tiny", classes=["a"])
    before = values(net)
    with pytest.raises(UserError) as error:
        net.load_parameters(path)
    assert str(error.value).startswith(
        f"{path}: does not fit ssd_tiny: ssd0_convpredictor0_conv0_weight is (28, 64, 3, 3), the network has "
    )
    assert all(np.array_equal(value, before[name]) for name, value in values(net).items())
    with pytest.raises(
        UserError, match="two.params: does not fit resnet18: missing classifier0_.*; unexpected"
    ):
        get_model("resnet18", classes=["a"]).load_parameters(path)


def test_parts_of_a_file_and_parts_of_a_network(tmp_path):
    path = str(tmp_path / "part.params")
    source = get_model("ssd_tiny", classes=["a"])
    arrays = {name: parameter.data() for name, parameter in source.collect_params().items()}
    name = "ssd0_convpredictor0_conv0_bias"
    mx.nd.save(path, {"arg:" + name: arrays[name] + 1, "something": mx.nd.zeros(3)})
    net = get_model("ssd_tiny", classes=["a"])
    before = values(net)
    with pytest.raises(UserError, match="missing ssd0_"):
        net.load_parameters(path, ignore_extra=True)
    with pytest.raises(UserError, match="unexpected something$"):
        net.load_parameters(path, allow_missing=True)
    net.load_parameters(path, allow_missing=True, ignore_extra=True)
    after = values(net)
    assert np.array_equal(after.pop(name), arrays[name].asnumpy() + 1)
    assert all(np.array_equal(value, before[key]) for key, value in after.items())


def test_a_network_without_values_is_filled(data, tmp_path):
    from gluon_ssd.model_zoo.registry import model_outline

    (tmp_path / "a.params").write_bytes(data)
    net, filled = model_outline("ssd_tiny", ["a"]), get_model("ssd_tiny", classes=["a"])
    filled.load_parameters(tmp_path / "a.params")
    net.load_parameters(tmp_path / "a.params", ctx=mx.cpu())
    assert all(np.array_equal(value, values(filled)[name]) for name, value in values(net).items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "ssd_next"}, "unknown model 'ssd_next'; did you mean"),
        ({"options": {"layout": 5}}, "unknown layout '5'; known: NCHW, NHWC"),
        ({"options": {"classes": ["b"]}}, "not a checkpoint of this library; classes is no option"),
        ({"classes": ["a", "a"]}, "class name 'a' stands twice in classes"),
    ],
)
def test_a_checkpoint_of_no_network_here_is_named(tmp_path, changes, message):
    """As of a later version, or written to by hand."""
    save_checkpoint(tmp_path / "a.ckpt", get_model("ssd_tiny", classes=["a"]))
    with zipfile.ZipFile(tmp_path / "a.ckpt") as source, zipfile.ZipFile(tmp_path / "b.ckpt", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "state.json":
                content = json.dumps({**json.loads(content), **changes})
            target.writestr(name, content)
    with pytest.raises(UserError, match=f"^{tmp_path}/b.ckpt: {message}"):
        load(tmp_path / "b.ckpt", device="cpu")
