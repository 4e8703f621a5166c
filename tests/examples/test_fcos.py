"""A family from outside, examples/fcos.py, in all that the library does with a detector."""

from __future__ import annotations

import csv
import json
import shutil

import mxnet as mx
import numpy as np
import pytest
from own_zoo import own_zoo
from places import REPOSITORY
from small import refused

from gluon_ssd import Detector, get_model, list_models, load
from gluon_ssd.boxes import pairwise_iou
from gluon_ssd.data.shapes import make_shapes
from gluon_ssd.model_zoo import model_row, registry
from gluon_ssd.model_zoo.profile import profile_model
from gluon_ssd.model_zoo.transfer import transfer
from gluon_ssd.recipe import load_recipe
from gluon_ssd.selfcheck import run_selfcheck
from gluon_ssd.training.train import run_training

pytestmark = pytest.mark.once

EXAMPLES = REPOSITORY / "examples"
PLUGIN = str(EXAMPLES / "fcos.py")


@pytest.fixture(scope="module", autouse=True)
def fcos():
    """The models of the example are in the zoo for these tests only."""
    with own_zoo(PLUGIN):
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp("fcos") / "data", train=400, val=100)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """The folder of a training of 392 steps, and its result. Do not write into it."""
    folder = tmp_path_factory.mktemp("fcos") / "run"
    changes = {"plugin": [PLUGIN], "data": str(data), "output": str(folder)}
    return folder, run_training(load_recipe(str(EXAMPLES / "fcos.yaml"), changes), quiet=True)


def test_it_learns(run):
    folder, result = run
    assert result.steps == 392 and result.best_map >= 0.35
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[3:7] == ["loss", "cls_loss", "box_loss", "centre_loss"]
    for name in ("cls_loss", "box_loss", "centre_loss"):
        assert float(rows[-1][name]) < float(rows[0][name])


def test_a_new_process_finds_the_plugin_in_the_checkpoint(run, data, python):
    image = sorted((data / "val").glob("*.jpg"))[0]
    found = f"Detector(load({str(run[0])!r}))({str(image)!r})"
    outcome = python(f"from gluon_ssd import Detector, load; print(len({found}))")
    assert outcome.status == 0, outcome.err
    assert int(outcome.out) > 0


def test_it_detects_what_is_there(run, data):
    content = json.loads((data / "annotations" / "instances_val.json").read_text())
    image = content["images"][0]
    found = Detector(load(run[0]), score_threshold=0.3)(data / "val" / image["file_name"])
    rows = [row["bbox"] for row in content["annotations"] if row["image_id"] == image["id"]]
    boxes = np.array(rows, dtype=np.float32)
    boxes[:, 2:] += boxes[:, :2]
    assert pairwise_iou(boxes, found.xyxy).max(axis=1).mean() > 0.5


def test_it_is_scored_resumed_and_converted(run, data, cli):
    shutil.copytree(run[0], "run")
    done = cli("val", "run", "--data", data, "--limit", 8)
    assert done.status == 0 and "8 images evaluated" in done.out
    flags = ("--epochs", 9, "--max-steps", 394, "--eval-every", 0)
    more = cli("train", "--resume", "--output", "run", *flags)
    assert more.status == 0 and "resumed at epoch 9, step 392" in more.out, more
    assert cli("convert", "run/checkpoints/last.ckpt", "fcos.params").status == 0
    names = json.loads((data / "annotations" / "instances_val.json").read_text())["categories"]
    classes = [row["name"] for row in names]
    back = cli("convert", "fcos.params", "fcos.ckpt", "--plugin", PLUGIN, "--classes", *classes)
    assert back.status == 0 and "predict" in back.out, back
    refused(cli("convert", "run", "fcos.pth"), "fcos_tiny has no PyTorch counterpart")


def test_other_classes_keep_what_they_share(run):
    trained = load(run[0])
    net = get_model("fcos_tiny", ["circle", "dog"])
    arrays = {name: value.data().asnumpy() for name, value in trained.collect_params().items()}
    report = transfer(net, arrays, trained.classes)
    assert report.shared_classes == ("circle",) and len(report.remapped) == 2
    bias = net.class_head.output.bias.data().asnumpy()
    assert bias[0] == arrays["fcos0_classhead0_output_bias"][trained.classes.index("circle")]
    assert bias[1] == np.float32(-4.6)


def test_verbs_know_it_by_its_plugin(cli, shapes, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_MODELS", {k: v for k, v in registry._MODELS.items() if "fcos" not in k})
        refused(cli("models", "fcos_tiny"), "unknown model 'fcos_tiny'")
    assert "fcos_resnet50" in cli("models", "--plugin", PLUGIN).out
    done = cli("check", shapes, "--model", "fcos_tiny", "--plugin", PLUGIN, "--output", "report")
    assert done.status == 0 and (tmp_path / "report" / "report.html").is_file(), done


def test_the_contract_is_kept():
    assert {"fcos_tiny", "fcos_resnet50"} <= set(list_models("detector"))
    assert model_row("fcos_tiny").default_augment == "flip"
    profile = profile_model("fcos_tiny")
    assert profile.output_names == ("cls_preds", "box_preds", "centre_preds")
    assert profile.anchors == 24**2 + 12**2 + 6**2 + 3**2 + 2**2
    assert run_selfcheck("fcos_tiny").problem is None


@pytest.mark.parametrize("size", [(192, 192), (100, 170)])
def test_decoded_targets_are_the_objects(size):
    """What the encoder makes of objects, taken for perfect predictions, gives the objects."""
    net = get_model("fcos_tiny", ["a", "b"])
    boxes = np.array([[[0.1, 0.2, 0.4, 0.5], [0.5, 0.1, 0.95, 0.9], [0, 0, 0, 0]]], np.float32)
    classes, sides, centreness = net.target_encoder(size)(boxes, np.array([[1, 0, -1]]))
    assert len(classes[0]) == len(net.anchors(*size))
    logits = np.full((1, classes.shape[1], 2), -12.0)
    places = np.flatnonzero(classes[0])
    logits[0, places, classes[0, places].astype(int) - 1] = 4
    sides[0, classes[0] == 0] = 1
    inner = (np.log(centreness + 1e-3) - np.log(1 - centreness + 1e-3))[..., None]
    post = net.postprocess(size, score_threshold=0.3, iou_threshold=0.3, max_detections=2)
    post.initialize()
    class_ids, _, found = (array.asnumpy()[0] for array in post(*map(mx.nd.array, (logits, sides, inner))))
    order = np.argsort(-class_ids)
    assert class_ids[order].tolist() == [1, 0]
    np.testing.assert_allclose(found[order], boxes[0, :2], atol=1e-5)


def test_an_image_without_objects_is_all_background():
    net = get_model("fcos_tiny", ["a"])
    targets = net.target_encoder()(np.zeros((2, 1, 4), np.float32), np.full((2, 1), -1))
    assert not any(array.any() for array in targets)
    outputs = net(mx.nd.zeros((2, 3, 192, 192)))
    losses = net.loss()(*outputs, *map(mx.nd.array, targets))
    assert np.isfinite([loss.asscalar() for loss in losses]).all() and len(losses) == 4
