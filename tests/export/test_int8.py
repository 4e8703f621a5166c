"""Models in 8 bits: what is quantised, what is measured, and when there is none."""

import collections

import numpy as np
import pytest
from random_nets import network
from small import picture, refused

pytest.importorskip("onnx", reason='onnx is not installed: pip install "gluon_ssd[onnx]"')
pytest.importorskip("onnxruntime", reason='onnxruntime is not installed: pip install "gluon_ssd[onnx]"')

import onnx

from gluon_ssd import Detector
from gluon_ssd.data.shapes import make_picture
from gluon_ssd.errors import UserError
from gluon_ssd.export import to_onnx

PICTURES = [make_picture(np.random.default_rng(seed))[0] for seed in range(4)]
SETTINGS = {"score_threshold": 0.01, "max_detections": 20}
INT8 = {"precision": "int8", "calibration": PICTURES}


def test_detections_are_nearly_those_in_float(tmp_path):
    net = network("ssd_tiny")
    options = {"detections": True, "settings": SETTINGS, "preprocess": True, **INT8}
    made = to_onnx(net, tmp_path / "a.onnx", **options)
    assert made.lines[1] == "int8, ranges of 4 images; mAP not measured, as asked"
    photo = picture(90, 60)
    ours, theirs = Detector(net, **SETTINGS)(photo), Detector(tmp_path / "a.onnx")(photo)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=0.1)
    assert made.path.stat().st_size < 0.4 * to_onnx(net, tmp_path / "b.onnx", prove=False).path.stat().st_size


def test_all_but_the_first_convolution_and_the_detections_is_in_8_bits(tmp_path):
    model = onnx.load(to_onnx(network("ssd_tiny"), tmp_path / "a.onnx", **INT8).path)
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    read = collections.defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            read[name].append(node.op_type)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    floats = [node.name for node in convolutions if made.get(node.input[0]) != "DequantizeLinear"]
    assert len(floats) == 1 and len(convolutions) > 20
    assert all(read[node.output[0]] == ["QuantizeLinear"] for node in convolutions if node.name not in floats)
    assert {item.key for item in model.metadata_props} >= {"classes", "proof", "mean"}


@pytest.mark.parametrize(("losses", "floats"), [([0.009], 1), ([0.2, 0.0], 6)])
def test_the_predictors_stay_in_float_where_that_is_needed(tmp_path, losses, floats):
    scores = iter([0.5, *(0.5 - loss for loss in losses)])
    score = {"score": lambda model, runtime: next(scores)}
    made = to_onnx(network("ssd_tiny"), tmp_path / "a.onnx", **score, **INT8)
    assert "(float 0.5000)" in made.lines[1] and made.lines[1].endswith(f"layers in float: {floats}")


def test_what_loses_too_much_is_not_written(tmp_path):
    scores = iter([0.5, 0.3, 0.4])
    with pytest.raises(UserError, match="int8 loses too much: mAP 0.4000, in float 0.5000"):
        to_onnx(network("ssd_tiny"), tmp_path / "a.onnx", score=lambda model, runtime: next(scores), **INT8)
    with pytest.raises(UserError, match="needs real images"):
        to_onnx(network("ssd_tiny"), tmp_path / "a.onnx", precision="int8")
    assert list(tmp_path.iterdir()) == []


def test_on_the_command_line(cli, small_run, shapes):
    pytest.importorskip("openvino", reason='openvino is not installed: pip install "gluon_ssd[openvino]"')
    int8 = ("--detections", "--precision", "int8", "--data", shapes)
    for kind, name in (("onnx", "a.onnx"), ("openvino", "a.xml")):
        done = cli("export", small_run, "--format", kind, "--output", name, *int8)
        assert done.status == 0, done.err
        assert "mAP 0." in done.out and "ranges of 12 images" in done.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--precision int8", "--precision int8 needs --data, or --images and --no-score"),
        ("--data x", "--data and --no-score are for --precision int8"),
        ("--precision int8 --data nowhere", "nowhere"),
        ("--precision int8 --format torch --output a.py --data {shapes}", "a module is float32"),
    ],
)
def test_flags_that_do_not_go_together(cli, small_run, shapes, tmp_path, flags, message):
    given = flags.format(shapes=shapes).split()
    refused(cli("export", small_run, "--format", "onnx", "--output", "a.onnx", *given), message)
    assert list(tmp_path.iterdir()) == []
