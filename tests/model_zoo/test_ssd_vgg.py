"""SSD300 on VGG-16 against torchvision's: outputs, default boxes, and detections."""

import mxnet as mx
import numpy as np
import pytest
from golden import seeded
from torchvision_ssd import CLASSES, check_boxes, check_detections, check_outputs, outputs_of

from gluon_ssd import get_model
from gluon_ssd.convert import load_torch_state, to_torch_state
from gluon_ssd.postprocess import SSDPostprocess

pytestmark = pytest.mark.once

GOLDEN = "torchvision_ssd300_vgg16"


@pytest.fixture(scope="module")
def net():
    net = get_model("ssd300_vgg16", CLASSES)
    shapes = {name: value.shape for name, value in to_torch_state(net).items()}
    del shapes["backbone.scale_weight"]
    state = seeded.seeded_state(shapes, 5)
    state["backbone.scale_weight"] = np.random.RandomState(4).uniform(5, 15, 512).astype(np.float32)
    for name in state:
        if "regression_head" in name and name.endswith("weight"):
            state[name] = state[name] * np.float32(0.1)
    load_torch_state(net, state)
    return net


@pytest.fixture(scope="module")
def outputs(net):
    return outputs_of(net)


def test_names_and_outputs_are_torchvisions(net, outputs):
    check_outputs(net, outputs, GOLDEN)


def test_as_many_parameters_as_torchvision_states(net):
    assert sum(value.size for value in to_torch_state(net).values()) == 35641826


def test_default_boxes_are_torchvisions(net):
    check_boxes(net, GOLDEN, 8732, every=50)


def test_detections_are_torchvisions(net, outputs):
    settings = {"score_threshold": 0.6, "iou_threshold": 0.45, "max_detections": 200, "per_class": 400}
    check_detections(net, outputs, GOLDEN, **settings)


def test_boxes_are_cut_off_before_they_are_compared():
    """Two boxes that differ only outside the image are one where they are cut off, and two elsewhere."""
    anchors = np.array([[0.0, 0.5, 0.4, 0.4], [-0.2, 0.5, 0.8, 0.4]], np.float32)
    logits, deltas = mx.nd.array([[[0, 5], [0, 4]]]), mx.nd.zeros((1, 2, 4))
    counts = []
    for clip in (True, False):
        block = SSDPostprocess(anchors, 1, clip=clip, iou_threshold=0.6)
        block.initialize()
        counts.append(int((block(logits, deltas)[0].asnumpy() >= 0).sum()))
    assert counts == [1, 2]
