"""GluonCV's SSDs here, against GluonCV's own."""

import mxnet as mx
import numpy as np
import pytest
from small import TRAIN

from gluon_ssd import UserError, get_model
from gluon_ssd.model_zoo import model_row
from gluon_ssd.model_zoo.gluoncv_ssd_models import NAMES
from gluon_ssd.model_zoo.registry import model_outline

NAME = "ssd_300_mobilenet0.25_voc"


@pytest.fixture(scope="module")
def theirs(gluoncv):
    """GluonCV's network with random weights that give boxes of a sensible size."""
    net = gluoncv.model_zoo.get_model(NAME, pretrained=False, pretrained_base=False)
    net.initialize()
    net(mx.nd.zeros((1, 3, 300, 300)))
    random = np.random.RandomState(2)
    # Without norms that were trained the maps are large.
    gains = dict.fromkeys(net.class_predictors.collect_params(), 2e-3)
    gains.update(dict.fromkeys(net.box_predictors.collect_params(), 1e-4))
    for name, parameter in net.collect_params().items():
        if name.endswith("weight"):
            deviation = (2 / np.prod(parameter.shape[1:])) ** 0.5 * gains.get(name, 1)
            parameter.set_data(mx.nd.array(random.normal(0, deviation, parameter.shape)))
    return net


@pytest.fixture(scope="module")
def file(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("gluoncv") / "ssd.params"
    theirs.save_parameters(str(path))
    return path


@pytest.fixture(scope="module")
def ours(file):
    return get_model(f"gluoncv:{NAME}", pretrained=file)


@pytest.fixture(scope="module")
def images():
    return mx.nd.array(np.random.RandomState(3).normal(size=(2, 3, 300, 300)))


def test_every_ssd_of_gluoncvs_has_a_row(gluoncv):
    known = gluoncv.model_zoo.get_model_list()
    names = {f"gluoncv:{name}" for name in known if name.startswith("ssd_") and not name.endswith("_int8")}
    assert set(NAMES) == names
    assert model_row("gluoncv:ssd_512_resnet50_v1_coco").input_size == (512, 512)


def test_class_names_are_gluoncvs(theirs, ours):
    assert ours.classes == tuple(theirs.classes)


def test_outputs_and_anchors_are_gluoncvs(theirs, ours, images):
    maps = theirs.features(images)
    heads = (theirs.class_predictors, theirs.box_predictors)
    for found, layers, channels in zip(ours(images), heads, (21, 4)):
        raw = [layer(m).transpose((0, 2, 3, 1)) for m, layer in zip(maps, layers)]
        parts = [array.reshape((2, -1, channels)) for array in raw]
        np.testing.assert_allclose(found.asnumpy(), mx.nd.concat(*parts, dim=1).asnumpy(), atol=1e-5)
    anchors = [generator(m).asnumpy()[0] for m, generator in zip(maps, theirs.anchor_generators)]
    centre, size = np.split(np.concatenate(anchors), 2, axis=1)
    corners = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    np.testing.assert_allclose(ours.anchors(300, 300), corners, atol=1e-3)


def test_detections_are_gluoncvs(theirs, ours, images):
    """With its settings: 400 pairs before NMS, 100 detections after it."""
    block = ours.postprocess(
        score_threshold=0.01, iou_threshold=0.45, max_detections=100, candidates=400, per_class=400
    )
    block.initialize()
    found = [array.asnumpy() for array in block(*ours(images))]
    wanted = [array.asnumpy() for array in theirs(images)]
    wanted = [wanted[0][..., 0], wanted[1][..., 0], wanted[2] / 300]
    for image in range(2):
        one, two = ([array[image][arrays[0][image] >= 0] for array in arrays] for arrays in (found, wanted))
        assert len(one[0]) == len(two[0]) > 50
        # Where scores tie, rounding decides which box is kept, and which is the last of the hundred.
        assert shared(one, two) >= 0.95 * len(one[0])


def shared(one, two):
    """How many detections of ``one`` are in ``two``: of the same class, with score and box within 1e-5."""
    near = one[0][:, None] == two[0]
    near &= np.abs(one[1][:, None] - two[1]) < 1e-5
    near &= np.abs(one[2][:, None] - two[2]).max(axis=2) < 1e-5
    return near.any(axis=1).sum()


def test_names_do_not_depend_on_what_was_built_before(gluoncv):
    one, two = (model_outline(f"gluoncv:{NAME}", ["a"]) for _ in range(2))
    shapes = [{name: p.shape for name, p in net.collect_params().items()} for net in (one, two)]
    assert shapes[0] == shapes[1] and all(0 not in shape for shape in shapes[0].values())


def test_nothing_has_a_value_before_its_device_is_known(gluoncv, recwarn):
    for classes in (None, ["a", "b"]):
        net = model_outline(f"gluoncv:{NAME}", classes)
        assert all(parameter._data is None for parameter in net.collect_params().values())
        get_model(f"gluoncv:{NAME}", classes)
    assert not [warning for warning in recwarn if "initialized" in str(warning.message)]


def test_other_classes_keep_those_of_the_same_name(file, ours, images):
    net = get_model(f"gluoncv:{NAME}", ["person", "robot"], pretrained=file)
    (logits, boxes), (wanted, wanted_boxes) = net(images), ours(images)
    person = 1 + ours.classes.index("person")
    np.testing.assert_allclose(logits.asnumpy()[..., :2], wanted.asnumpy()[..., [0, person]], atol=1e-4)
    np.testing.assert_allclose(boxes.asnumpy(), wanted_boxes.asnumpy(), atol=1e-5)


def test_a_training_starts_from_the_file_and_its_checkpoint_detects(cli, shapes, file, tmp_path):
    options = ("--model", f"gluoncv:{NAME}", "--weights", file, "--data", shapes, "--eval-every", 0)
    done = cli(*TRAIN, "--recipe", "ssd_tiny/smoke", "--max-steps", 1, *options)
    assert done.status == 0, done.err
    done = cli("predict", shapes / "val", "--weights", tmp_path / "run", "--output", tmp_path / "found")
    assert done.status == 0, done.err


def test_mistakes_are_one_line(gluoncv, file):
    with pytest.raises(UserError, match="unknown model 'gluoncv:ssd_512_resnet50_v1_vo'; did you"):
        get_model("gluoncv:ssd_512_resnet50_v1_vo")
    with pytest.raises(UserError, match="has no classes of its own; give classes"):
        get_model("gluoncv:ssd_512_resnet50_v1_custom")
    with pytest.raises(UserError, match="take layout NCHW and dtype float32 only"):
        get_model(f"gluoncv:{NAME}", layout="NHWC")
    with pytest.raises(UserError, match="does not fit gluoncv:ssd_300_mobilenet0.25_coco: "):
        get_model("gluoncv:ssd_300_mobilenet0.25_coco", pretrained=file)


def test_without_gluoncv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gluoncv", None)
    with pytest.raises(UserError, match=r'gluoncv is not installed; pip install "gluon_ssd\[gluoncv\]"'):
        get_model(f"gluoncv:{NAME}")
