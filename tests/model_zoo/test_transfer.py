"""Weights of a network of other classes: equality is checked in the outputs, not only in the arrays."""

import mxnet as mx
import numpy as np
import pytest
from small import TRAIN

from gluon_ssd.data.shapes import SHAPES
from gluon_ssd.errors import UserError
from gluon_ssd.model_zoo import get_model
from gluon_ssd.model_zoo.transfer import set_parameters, transfer


def make(classes, seed):
    mx.random.seed(seed)
    return get_model("ssd_tiny", classes=classes)


def arrays(net):
    return {name: p.data().asnumpy() for name, p in net.collect_params().items()}


@pytest.fixture(scope="module")
def images():
    return mx.nd.array(np.random.RandomState(0).randn(2, 3, 192, 192))


def test_classes_of_the_same_name_keep_their_outputs(images):
    source, net = make(["cat", "dog", "car"], 1), make(["boat", "car", "cat"], 2)
    fresh = net(images)[0].asnumpy()
    report = transfer(net, arrays(source), source.classes)
    (old, old_boxes), (new, new_boxes) = source(images), net(images)
    # Background, car and cat, wherever they stand.
    np.testing.assert_allclose(
        new.asnumpy()[..., [0, 2, 3]], old.asnumpy()[..., [0, 3, 1]], rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(new_boxes.asnumpy(), old_boxes.asnumpy(), rtol=0, atol=1e-5)
    # The boat is as it was initialised: its rows of the heads, on features that are now the source's.
    assert not np.allclose(new.asnumpy()[..., 1], fresh[..., 1], atol=1e-3)
    assert not np.allclose(new.asnumpy()[..., 1], old.asnumpy()[..., 2], atol=1e-3)
    assert report.shared_classes == ("car", "cat")
    assert report.new_classes == ("boat",)
    assert len(report.remapped) == 2 * len(net.predictors)
    assert sorted(report.reused + report.remapped) == sorted(net.collect_params())
    assert report.kept_initial == report.unused == []


def test_the_rows_of_new_classes_stay_as_initialised():
    source, net = make(["cat"], 1), make(["cat", "boat"], 2)
    before = arrays(net)
    transfer(net, arrays(source), source.classes)
    name = net.predictors[0].conv.bias.name
    per_cell = net.default_boxes.per_cell[0]
    rows = np.arange(per_cell) * 3
    after = arrays(net)[name]
    np.testing.assert_array_equal(after[rows + 2], before[name][rows + 2])
    np.testing.assert_array_equal(after[rows + 1], arrays(source)[name][np.arange(per_cell) * 2 + 1])


def test_the_same_classes_keep_everything(images):
    source, net = make(["cat", "dog"], 1), make(["cat", "dog"], 2)
    report = transfer(net, arrays(source), source.classes)
    assert report.remapped == report.kept_initial == report.unused == []
    assert report.lines() == [f"{len(arrays(net))} parameters reused as they are"]
    assert all(np.array_equal(arrays(net)[name], value) for name, value in arrays(source).items())


def test_what_does_not_fit_is_listed():
    net = make(["cat"], 2)
    before, weights = arrays(net), arrays(make(["cat"], 1))
    names = list(weights)
    weights["odd"] = weights.pop(names[0])
    weights[names[1]] = np.zeros(3)
    report = transfer(net, weights, ["cat"])
    assert report.kept_initial == names[:2]
    assert report.unused == ["odd"]
    assert report.lines()[1:] == [
        f"2 left as initialised: {names[0]}, {names[1]}",
        "1 of the file not used: odd",
    ]
    assert np.array_equal(arrays(net)[names[1]], before[names[1]])


def test_no_class_in_common():
    net = make(["boat"], 2)
    report = transfer(net, arrays(make(["cat"], 1)), ["cat"])
    assert "background and 0 classes of the same name (none)" in report.lines()[1]
    assert report.lines()[2] == "1 classes start anew: boat"


def test_setting_all_or_nothing():
    net = make(["cat"], 2)
    before, weights = arrays(net), arrays(make(["cat"], 1))
    last = list(weights)[-1]
    weights[last] = np.zeros(3)
    with pytest.raises(UserError, match=rf"^mine: does not fit ssd_tiny: {last} is \(3,\), the network has"):
        set_parameters(net, weights, "mine")
    assert all(np.array_equal(arrays(net)[name], value) for name, value in before.items())
    del weights[last]
    with pytest.raises(UserError, match=f"missing {last}"):
        set_parameters(net, weights, "mine")
    with pytest.raises(UserError, match="unexpected odd"):
        set_parameters(net, {**before, "odd": np.zeros(1)}, "mine")


def test_the_command_line_tells_what_was_reused(cli, small_run, shapes, tmp_path):
    import json

    annotations = tmp_path / "annotations.json"
    content = json.loads((shapes / "annotations/instances_train.json").read_text())
    content["categories"][0]["name"] = "boat"
    annotations.write_text(json.dumps(content))
    files = ("--train-annotation", annotations, "--eval-every", 0)
    result = cli(*TRAIN, "--data", shapes, "--weights", small_run, *files)
    assert result.status == 0
    assert f"weights from {small_run}/checkpoints/best.ckpt:\n" in result.out
    assert "parameters reused as they are\n" in result.out
    assert f"{len(SHAPES) - 1} classes of the same name ({', '.join(SHAPES[1:5])}" in result.out
    assert "1 classes start anew: boat" in result.out
