"""What the contract gives to a family that says no more than it has to."""

from __future__ import annotations

from dataclasses import replace

import mxnet as mx
import numpy as np
import pytest

from gluon_ssd import UserError, get_model
from gluon_ssd.data.preprocess import Preprocess
from gluon_ssd.losses import MultiBoxLoss
from gluon_ssd.model_zoo import DetectionNetwork, as_detector, model_row, register_model, registry
from gluon_ssd.model_zoo.resnet import ResNet
from gluon_ssd.model_zoo.ssd import SSD
from gluon_ssd.model_zoo.ssd_models import CONFIGS
from gluon_ssd.model_zoo.transfer import transfer
from gluon_ssd.selfcheck import run_selfcheck
from gluon_ssd.training.step import TrainStep


class Silent(SSD):
    """An SSD that leaves out what a family may leave out."""

    head_rows = DetectionNetwork.head_rows
    reference_names = DetectionNetwork.reference_names


@pytest.fixture
def silent(monkeypatch):
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    row, config = replace(model_row("ssd_tiny"), name="silent"), CONFIGS["ssd_tiny"]

    @register_model(row)
    def build(row, classes):
        body = ResNet(config.backbone, prefix="ssd0_resnetmlperf0_")
        parts = (body, config.extras, config.default_boxes, classes, Preprocess(size=row.input_size))
        return Silent(row.name, *parts, norm=True, prefix="ssd0_")

    return lambda *classes: get_model("silent", classes)


@pytest.mark.parametrize("classes", [("a", "c"), ("a", "b", "c")])
def test_layers_that_depend_on_the_classes_start_anew(silent, classes):
    """Also those of as many other classes, whose shapes would fit."""
    trained, net = silent("a", "b"), silent(*classes)
    arrays = {name: value.data().asnumpy() for name, value in trained.collect_params().items()}
    before = {name: value.data().asnumpy() for name, value in net.collect_params().items()}
    report = transfer(net, arrays, trained.classes)
    kept = [name for name in arrays if "convpredictor" in name] if classes != ("a", "b") else []
    assert report.kept_initial == kept and not report.remapped
    for name, value in net.collect_params().items():
        assert (value.data().asnumpy() == (before if name in kept else arrays)[name]).all()


def test_without_names_of_a_reference_nothing_is_exchanged(silent):
    from gluon_ssd.convert import to_torch_state

    with pytest.raises(UserError, match="silent has no PyTorch counterpart"):
        to_torch_state(silent("a"))
    assert "ssd0_convpredictor0_conv0_weight" in silent("a").mlperf_tensors()


def test_what_is_no_detector_is_told():
    with pytest.raises(UserError, match="Dense is no detector; give a DetectionNetwork"):
        as_detector(mx.gluon.nn.Dense(1))
    net = get_model("ssd_tiny", ["a"])
    assert as_detector(net) is net


def test_every_family_checks_itself():
    found = run_selfcheck("retinanet_resnet50", batch_size=1, input_size=(64, 96))
    assert found.problem is None and np.isfinite(found.loss)
    with pytest.raises(UserError, match="resnet18 is a backbone, not a detector"):
        run_selfcheck("resnet18")


def test_a_family_that_lacks_something_is_told_when_it_is_defined():
    with pytest.raises(TypeError, match="Half lacks anchors, loss, postprocess, which a family of detectors"):

        class Half(DetectionNetwork):
            hybrid_forward = features = target_encoder = None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cls_loss",), "the loss gives 3 numbers, named are loss, cls_loss"),
        (("cls_loss", "box_loss"), None),
    ],
)
def test_the_self_check_counts_the_losses(silent, monkeypatch, names, message):
    monkeypatch.setattr(MultiBoxLoss, "part_names", names)
    assert run_selfcheck("silent").problem == message


def test_names_of_losses_are_columns_that_plots_know(silent, monkeypatch):
    net = silent("a")
    monkeypatch.setattr(MultiBoxLoss, "part_names", ("lr", "box_loss"))
    with pytest.raises(ValueError, match="part_names of a loss end in _loss, got lr, box_loss"):
        TrainStep(net, net.loss())
