"""ONNX files: every kind of network, what goes in and comes out, and what is refused."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason='onnx is not installed: pip install "gluon_ssd[onnx]"')
pytest.importorskip("onnxruntime", reason='onnxruntime is not installed: pip install "gluon_ssd[onnx]"')

import mxnet as mx
import onnx
import onnxruntime
from own_zoo import own_zoo
from random_nets import network

from gluon_ssd.data.transforms import EvalTransform
from gluon_ssd.errors import UserError
from gluon_ssd.export import proof, to_onnx
from gluon_ssd.export.proof import made_pictures, same_detections

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SETTINGS = {"score_threshold": 0.01, "iou_threshold": 0.5, "max_detections": 50}
PICTURES = made_pictures(2)


@pytest.fixture(scope="module")
def examples():
    """Their models are in the zoo for these tests only."""
    with own_zoo(EXAMPLES / "fcos.py", EXAMPLES / "backbone.py"):
        yield


def inputs_of(net, count=2):
    """Normalised pictures of shapes."""
    return np.stack([EvalTransform(net.preprocess)(picture)[0] for picture in made_pictures(count)])


def run(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"images": images})))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ssd_tiny", {}),
        ("ssd_tiny", {"layout": "NHWC"}),
        ("ssd_tiny", {"layout": "NHWC", "dtype": "float16", "bn_fp16": True}),
        ("ssd_resnet18", {}),
        ("fcos_tiny", {}),
        ("ssd_vgg16_bn", {}),
    ],
)
def test_it_computes_what_the_network_does(name, options, examples, tmp_path):
    net = network(name, **options)
    made = to_onnx(net, tmp_path / "a.onnx", detections=True, settings=SETTINGS, images=PICTURES)
    onnx.checker.check_model(str(made.path), full_check=True)
    said = made.lines[1]
    assert "onnxruntime, 2 images" in said
    same, total = (int(said.split("; ")[1].split(" of ")[place].split()[0]) for place in (0, 1))
    assert same == total == 100


def test_retinanet_of_another_size(tmp_path):
    """Its heads are shared by five levels, whose nodes have the same names."""
    net = network("retinanet_resnet50_v2")
    path = to_onnx(net, tmp_path / "a.onnx", input_size=(128, 160), images=PICTURES).path
    images = np.random.RandomState(0).randn(3, 3, 128, 160).astype(np.float32)
    found = run(path, images)
    for name, wanted in zip(("cls_preds", "box_preds"), net(mx.nd.array(images))):
        wanted = wanted.asnumpy()
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_a_gluoncv_backbone(gluoncv, tmp_path):
    net = network("ssd_resnet34", backbone="gluoncv:mobilenet1.0")
    assert "largest difference" in to_onnx(net, tmp_path / "a.onnx", images=PICTURES).lines[1]


def test_norms_are_folded(tmp_path):
    model = onnx.load(to_onnx(network("ssd_tiny"), tmp_path / "a.onnx", prove=False).path)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    names = [node.name for node in model.graph.node]
    assert len(names) == len(set(names))


def test_what_it_says_of_itself(tmp_path):
    net = network("ssd_tiny")
    path = to_onnx(net, tmp_path / "a.onnx", detections=True, settings=SETTINGS, images=PICTURES).path
    model = onnx.load(path)
    said = {item.key: item.value for item in model.metadata_props}
    assert json.loads(said["classes"]) == ["cat", "dog", "bird"]
    assert json.loads(said["size"]) == [192, 192]
    assert json.loads(said["mean"]) == [0.485, 0.456, 0.406]
    assert json.loads(said["detections"]) == SETTINGS
    assert said["model"] == "ssd_tiny" and "onnxruntime" in said["proof"] and "Apache-2.0" in said["licence"]
    assert {opset.version for opset in model.opset_import} == {17}
    assert {node.domain for node in model.graph.node} == {""}
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "images": ["N", 3, 192, 192],
        "boxes": ["N", 50, 4],
        "scores": ["N", 50],
        "class_ids": ["N", 50],
        "count": ["N"],
    }


def test_boxes_are_pixels_and_rows_without_a_detection_are_marked(tmp_path):
    net = network("ssd_tiny")
    images = inputs_of(net)
    highest = float(net(mx.nd.array(images))[0].softmax().asnumpy()[..., 1:].max())
    settings = {"score_threshold": highest * 0.98, "iou_threshold": 0.3}
    path = to_onnx(net, tmp_path / "a.onnx", detections=True, settings=settings, images=PICTURES).path
    found = run(path, images)
    real = found["class_ids"] >= 0
    assert 0 < real.sum() < real.size
    np.testing.assert_array_equal(found["count"], real.sum(axis=1))
    np.testing.assert_array_equal(found["scores"] > 0, real)
    assert found["boxes"].min() >= 0 and found["boxes"].max() > 1.5 and found["boxes"].max() <= 192


def test_pixels_go_in_as_they_are(tmp_path):
    net = network("ssd_tiny")
    pixels = np.random.RandomState(0).randint(0, 256, (2, 192, 192, 3)).astype(np.uint8)
    path = to_onnx(net, tmp_path / "a.onnx", preprocess=True, images=PICTURES).path
    inputs = np.stack([EvalTransform(net.preprocess)(image)[0] for image in pixels])
    wanted = net(mx.nd.array(inputs))[0].asnumpy()
    found = run(path, pixels)["cls_preds"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_a_batch_of_one_number(tmp_path):
    options = {"detections": True, "settings": SETTINGS, "batch": 3, "images": PICTURES}
    path = to_onnx(network("ssd_tiny"), tmp_path / "a.onnx", **options).path
    assert run(path, np.zeros((3, 3, 192, 192), np.float32))["count"].shape == (3,)
    with pytest.raises(Exception, match="images"):
        run(path, np.zeros((2, 3, 192, 192), np.float32))


def test_an_unknown_operator_is_named(tmp_path, monkeypatch):
    from gluon_ssd.export.operators import TRANSLATIONS

    monkeypatch.delitem(TRANSLATIONS, "softmax")
    with pytest.raises(UserError) as caught:
        to_onnx(network("ssd_tiny"), tmp_path / "a.onnx", detections=True)
    said = "ssd_tiny: cannot be exported: no ONNX translation of the operator softmax (first in ssdpost"
    assert str(caught.value).startswith(said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("limit", "text"), [("OUTPUT_LIMIT", "cls_preds differs"), ("SCORE_LIMIT", "detections")]
)
def test_a_file_that_differs_is_not_written(tmp_path, monkeypatch, limit, text):
    monkeypatch.setattr(proof, limit, 1e-12)
    (tmp_path / "a.onnx").write_bytes(b"before")
    with pytest.raises(UserError, match=f"not written, its results are not the network's: .*{text}"):
        to_onnx(network("ssd_tiny"), tmp_path / "a.onnx", detections=True, settings=SETTINGS, images=PICTURES)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.onnx": b"before"}


def test_without_a_runtime_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = to_onnx(network("ssd_tiny"), tmp_path / "a.onnx").lines[1]
    assert said.startswith("not compared with the network: onnxruntime is not installed; pip install ")


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("a.txt", {}, "the name of such a file ends in .onnx"),
        ("none/a.onnx", {}, "there is no folder"),
        ("a.onnx", {"input_size": (64, 64)}, "ssd_tiny takes inputs of (192, 192) alone; give no input size"),
        ("a.onnx", {"input_size": 64}, "input_size must be height and width, each at least 32, got 64"),
        ("a.onnx", {"batch": 0}, "batch must be at least 1, got 0"),
        ("a.onnx", {"batch": "2"}, "batch must be an integer, got '2'"),
        ("a.onnx", {"images": "a.jpg"}, "images must be a list of pictures, got 'a.jpg'"),
        ("a.onnx", {"settings": {"score_threshold": 0.5}}, "score_threshold is for detections; "),
        (
            "a.onnx",
            {"detections": True, "settings": {"score_threshold": 2}},
            "score_threshold must be less than 1, got 2",
        ),
    ],
)
def test_what_cannot_be(tmp_path, path, options, message):
    with pytest.raises(UserError) as caught:
        to_onnx(network("ssd_tiny"), tmp_path / path, **options)
    assert message in str(caught.value)


def test_a_folder_that_cannot_be_written_keeps_what_was_there(tmp_path):
    (tmp_path / "a.onnx").mkdir()
    with pytest.raises(UserError, match="a.onnx: cannot be written"):
        to_onnx(network("ssd_tiny"), tmp_path / "a.onnx", prove=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def found(scores, classes=(0, 0, 0)):
    boxes = np.array([[0.1, 0.1, 0.2, 0.2], [0.3, 0.1, 0.4, 0.2], [0.5, 0.1, 0.6, 0.2]])
    return [np.array(classes), np.array(scores), boxes[: len(scores)]]


@pytest.mark.parametrize(
    ("first", "second", "counts"),
    [
        (found([0.9, 0.5, 0.3]), found([0.9, 0.5, 0.3]), (3, 3, 0)),
        (found([0.9, 0.5, 0.3]), found([0.9, 0.5, 0], (0, 0, -1)), (2, 3, 0)),
        (found([0.9, 0.5, 0.3]), found([0.9, 0.502, 0.3]), (2, 3, 0)),
        (found([0.9, 0.5, 0.3], (0, 1, 2)), found([0.9, 0.5, 0.3], (0, 0, 0)), (1, 3, 0)),
        # The last two nearly tie, and each result has chosen another class for the last.
        (found([0.9, 0.5, 0.499999], (0, 1, 2)), found([0.9, 0.5, 0.499999], (0, 1, 1)), (2, 2, 1)),
        (found([0, 0, 0], (-1, -1, -1)), found([0, 0, 0], (-1, -1, -1)), (0, 0, 0)),
    ],
)
def test_detections_are_compared_one_by_one(first, second, counts):
    assert same_detections(first, second) == counts
