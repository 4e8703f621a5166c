"""SSDLite320 on MobileNetV3-Large against torchvision's: outputs, default boxes, and detections."""

import mxnet as mx
import numpy as np
import pytest
from golden import seeded
from torchvision_ssd import CLASSES, check_boxes, check_detections, check_outputs, outputs_of

from gluon_ssd import get_model
from gluon_ssd.convert import load_torch_state, to_torch_state
from gluon_ssd.data.coco_names import COCO_CLASSES, COCO_IDS
from gluon_ssd.ops import activate

pytestmark = pytest.mark.once

GOLDEN, NAME = "torchvision_ssdlite320_mobilenet", "ssdlite320_mobilenet_v3_large"


@pytest.fixture(scope="module")
def net():
    net = get_model(NAME, CLASSES)
    state = seeded.seeded_state({name: value.shape for name, value in to_torch_state(net).items()}, 5)
    for name, value in state.items():
        if "regression_head" in name and name.endswith(".1.weight") and value.ndim == 4:
            state[name] = value * np.float32(0.1)
        elif "features" in name and name.endswith("weight") and value.ndim == 1:
            # With larger ones rounding in float32 grows from block to block.
            state[name] = value * np.float32(0.85)
    load_torch_state(net, state)
    return net


@pytest.fixture(scope="module")
def outputs(net):
    return outputs_of(net)


def test_names_and_outputs_are_torchvisions(net, outputs):
    check_outputs(net, outputs, GOLDEN)


def test_as_many_parameters_as_torchvision_states(net):
    state = to_torch_state(net)
    assert sum(value.size for name, value in state.items() if "running" not in name) == 3440060


def test_default_boxes_are_torchvisions(net):
    check_boxes(net, GOLDEN, 3234, every=20)


def test_detections_are_torchvisions(net, outputs):
    settings = {"score_threshold": 0.3, "iou_threshold": 0.55, "max_detections": 300, "per_class": 300}
    check_detections(net, outputs, GOLDEN, candidates=4000, **settings)


def test_names_of_coco_take_their_rows_of_the_91_channels(net):
    state = to_torch_state(net)
    few = get_model(NAME, ["zebra", "person"])
    load_torch_state(few, state)
    weight = state["head.classification_head.module_list.2.1.weight"]
    rows = [box * 91 + channel for box in range(6) for channel in (0, COCO_IDS["zebra"], COCO_IDS["person"])]
    assert (few.predictors[2].classes.conv.weight.data().asnumpy() == weight[rows]).all()
    whole = get_model(NAME)
    load_torch_state(whole, state)
    again = to_torch_state(whole)
    assert again["head.classification_head.module_list.2.1.weight"].shape == weight.shape
    used = [box * 91 + channel for box in range(6) for channel in [0, *map(COCO_IDS.get, COCO_CLASSES)]]
    assert (again["head.classification_head.module_list.2.1.weight"][used] == weight[used]).all()
    unused = again["head.classification_head.module_list.2.1.bias"][12]  # category 12 does not exist
    assert unused == -20


@pytest.mark.parametrize(
    ("act", "wanted"), [("relu6", [0, 0, 0, 1.5, 6, 6]), ("hard_swish", [0, -1 / 3, 0, 1.125, 6, 9])]
)
def test_activations(act, wanted):
    x = mx.nd.array([-5, -2, 0, 1.5, 6, 9])
    np.testing.assert_allclose(activate(mx.nd, x, act).asnumpy(), wanted, atol=1e-6)
