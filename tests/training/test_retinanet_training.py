"""RetinaNet through the command line: it trains, evaluates, resumes at its own input size."""

import numpy as np
import pytest
from small import refused

from gluon_ssd import Detector, get_model, load
from gluon_ssd.recipe import Recipe
from gluon_ssd.tensor_files.archive import read_archive
from gluon_ssd.training.build import model_options

pytestmark = pytest.mark.once

SMALL = ("--model", "retinanet_resnet50", "--input-size", 96, 128, "--augment", "flip", "--optimizer", "adam")
QUICK = ("--batch-size", 2, "--lr", 1e-4, "--warmup-epochs", 0, "--limit-val", 2, "--eval-batch-size", 2)


def test_it_trains_and_what_it_saves_detects_at_the_same_size(cli, shapes):
    done = cli("train", *SMALL, *QUICK, "--data", shapes, "--max-steps", 2, "--output", "run")
    assert done.status == 0, done
    assert "retinanet_resnet50" in done.out and "best mAP" in done.out
    net = load("run/best")
    assert net.input_size == (96, 128) and net.options["input_size"] == [96, 128]
    found = Detector(net, score_threshold=0.0)([np.zeros((50, 70, 3), np.uint8)])[0]
    assert (found.xyxy >= 0).all() and (found.xyxy[:, 2] <= 70).all() and (found.xyxy[:, 3] <= 50).all()
    assert cli("val", "run", "--data", shapes, "--limit", 2).status == 0
    more = cli("train", "--resume", "--output", "run", "--max-steps", 3)
    assert more.status == 0 and "resumed at epoch 1, step 2" in more.out, more


def test_it_trains_and_evaluates_through_dali(cli, shapes):
    pytest.importorskip("nvidia.dali")
    flags = ("--data-pipeline", "dali")
    done = cli("train", *SMALL, *QUICK, *flags, "--data", shapes, "--max-steps", 1, "--output", "run")
    assert done.status == 0, done
    outcome = cli("val", "run", *flags, "--data", shapes, "--limit", 2)
    assert outcome.status == 0, outcome


def test_frozen_stages_and_norms_stay_as_they_were(cli, shapes):
    assert cli("train", *SMALL, *QUICK, "--data", shapes, "--max-steps", 1, "--output", "run").status == 0
    arrays, _ = read_archive("run/checkpoints/last.ckpt")
    optimized = {name.split("/")[1].rsplit(".", 1)[0] for name in arrays if name.startswith("optimizer/")}
    names = {name.split("/")[1] for name in arrays if name.startswith("parameters/")}
    frozen = {name for name in names if "_stage1_" in name or "resnet0_conv0" in name or "batchnorm" in name}
    assert frozen and not frozen & optimized
    assert {name for name in names if "_stage2_" in name and "conv" in name} <= optimized


def test_input_size_is_checked(cli, shapes):
    refused(
        cli("train", *QUICK, "--data", shapes, "--model", "retinanet_resnet50", "--input-size", 96),
        "input_size is (96,); give height and width",
    )
    refused(cli("train", *QUICK, "--data", shapes, "--input-size", 300, 300), "input_size", "ssd_resnet34")


def test_model_keys_become_options():
    recipe = Recipe(precision="fp16", layout="NHWC", trainable_layers=5, input_size=(320, 320))
    options = {"layout": "NHWC", "dtype": "float16", "bn_fp16": False, "trainable_layers": 5}
    assert model_options(recipe) == {**options, "input_size": (320, 320)}


@pytest.mark.parametrize("size", [(64, 100), (33, 47)])
def test_outputs_and_anchors_agree_at_odd_sizes(size):
    import mxnet as mx

    net = get_model("retinanet_resnet50", classes=["a"], input_size=size)
    cls_preds, box_preds = net(mx.nd.zeros((1, 3, *size)))
    assert cls_preds.shape[1] == box_preds.shape[1] == len(net.anchors(*size))
