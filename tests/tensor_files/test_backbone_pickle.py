"""NVIDIA's backbone pickle: its keys, order and values, for each depth."""

import json
import pickle
import zlib

import numpy as np
import pytest
from golden import FOLDER
from torch_resnet import resnet_state

from gluon_ssd.convert import read_pickle, write_backbone_pickle
from gluon_ssd.errors import UserError
from gluon_ssd.tensor_files.backbone_names import backbone_arrays, torch_names

MAPPING = json.loads((FOLDER / "resnet34_pickle_mapping.json").read_text())


@pytest.fixture(scope="module")
def resnet34():
    return resnet_state(34)


def test_resnet34_is_nvidias(resnet34, tmp_path):
    assert set(resnet34) == {row["torch"] for row in MAPPING["mapping"]} | set(MAPPING["dropped"])
    write_backbone_pickle(resnet34, tmp_path / "a.pickle")
    found = pickle.loads((tmp_path / "a.pickle").read_bytes())  # as NVIDIA's code reads it
    assert type(found) is dict
    assert list(found) == MAPPING["pickle_order"]
    for row in MAPPING["mapping"]:
        array = found[row["pickle"]]
        assert (type(array), array.dtype, list(array.shape)) == (np.ndarray, np.float32, row["shape"])
        assert zlib.crc32(array.tobytes()) == row["crc32"]


def test_counters_of_newer_checkpoints_do_not_matter(resnet34, tmp_path):
    state = {**resnet34, "bn1.num_batches_tracked": np.array(3)}
    assert list(write_backbone_pickle(state, tmp_path / "a.pickle")) == MAPPING["pickle_order"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_pickles_of_every_protocol(tmp_path, protocol):
    arrays = {
        "conv0_weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
        "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big_endian": np.arange(3, dtype=">f4"),
        "one": np.array(3.5, np.float16),
        "flags": np.array([True, False]),
        "none": np.zeros((0, 2), np.int64),
    }
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(arrays, protocol))
    found = read_pickle(tmp_path / "a.pickle")
    assert list(found) == list(arrays)
    for name, value in arrays.items():
        assert (found[name].shape, found[name].tolist()) == (value.shape, value.tolist())


def test_reads_pickles_of_python_2(tmp_path):
    """Python 2 wrote the bytes of arrays as strings; these are [1, -2] in float32."""
    data = (
        b"\x80\x02}q\0U\x01wq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\0\x85q\x04U\x01b"
        b"\x87Rq\x05(K\x01K\x02\x85cnumpy\ndtype\nq\x06U\x02f4K\0K\x01\x87Rq\x07(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\0tb\x89U\x08\0\0\x80?\0\0\0\xc0tbs."
    )
    (tmp_path / "a.pickle").write_bytes(data)
    assert read_pickle(tmp_path / "a.pickle")["w"].tolist() == [1, -2]


@pytest.mark.parametrize(
    ("depth", "options", "convolutions"),
    [
        (18, {}, {0: 1, 1: 4, 2: 5, 3: 5}),
        (50, {}, {0: 1, 1: 10, 2: 13, 3: 19}),
        (101, {}, {0: 1, 1: 10, 2: 13, 3: 70}),
        (152, {}, {0: 1, 1: 10, 2: 25, 3: 109}),
        (50, {"groups": 2, "group_width": 32}, {0: 1, 1: 10, 2: 13, 3: 19, 4: 10}),
    ],
)
def test_stages_of_other_networks(depth, options, convolutions):
    arrays = backbone_arrays(resnet_state(depth, width=8, **options))
    found = {}
    for name in arrays:
        if "conv" in name:
            stage = int(name[5]) if name.startswith("stage") else 0
            found[stage] = found.get(stage, 0) + 1
    assert found == convolutions


def test_the_shortcut_of_a_bottleneck_comes_fourth():
    state = resnet_state(50, width=8)
    arrays = backbone_arrays(state)
    assert arrays["stage2_conv2_weight"].tobytes() == state["layer2.0.conv3.weight"].tobytes()
    assert arrays["stage2_conv3_weight"].tobytes() == state["layer2.0.downsample.0.weight"].tobytes()
    assert arrays["stage2_conv4_weight"].tobytes() == state["layer2.1.conv1.weight"].tobytes()
    name = "layer2.0.downsample.1.running_var"
    assert arrays["stage2_batchnorm3_running_var"].tobytes() == state[name].tobytes()


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_the_way_back_to_torchvisions_names(depth):
    state = resnet_state(depth, width=8)
    back = torch_names(backbone_arrays(state, stages=4))
    assert set(back) == {name for name in state if not name.startswith("fc.")}
    assert all(back[name].tobytes() == state[name].tobytes() for name in back)


def test_detectors_keep_their_backbone_under_a_prefix():
    state = resnet_state(50, width=8)
    wrapped = {f"backbone.body.{name}": value for name, value in state.items()}
    assert list(backbone_arrays(wrapped)) == list(backbone_arrays(state))


def test_the_order_of_the_source_does_not_matter(resnet34):
    shuffled = dict(sorted(backbone_arrays(resnet34).items()))
    assert list(backbone_arrays(shuffled)) == MAPPING["pickle_order"]


def test_what_is_no_resnet(resnet34, tmp_path):
    with pytest.raises(UserError, match="not the weights of a ResNet"):
        write_backbone_pickle({"features.0.weight": np.ones(3)}, tmp_path / "a.pickle")
    broken = {name: value for name, value in resnet34.items() if name != "layer2.1.bn2.bias"}
    with pytest.raises(UserError, match="not a whole ResNet: layer2.1.bn2.bias is missing"):
        write_backbone_pickle(broken, tmp_path / "a.pickle")
    assert list(tmp_path.iterdir()) == []


def test_other_pickles(tmp_path):
    path = tmp_path / "a.pickle"
    for value, message in [
        ([1, 2], "it holds no dictionary of arrays"),
        ({}, "it holds no arrays"),
        ({"a": 1}, "something else than named arrays"),
        ({1: np.ones(2)}, "something else than named arrays"),
    ]:
        path.write_bytes(pickle.dumps(value))
        with pytest.raises(UserError, match=message):
            read_pickle(path)
