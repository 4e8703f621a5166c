"""Every detector of the zoo, out of MXNet's files and back, and recognised by its names."""

import mxnet as mx
import numpy as np
import pytest

from gluon_ssd import get_model, list_models
from gluon_ssd.convert import convert_file, read_params, write_params
from gluon_ssd.model_zoo.registry import model_outline
from gluon_ssd.weights.conversion import Source, recognise

pytestmark = pytest.mark.once


@pytest.mark.parametrize("model", list_models("detector"))
def test_every_detector_is_recognised_by_its_names(tmp_path, model):
    """Of every family and depth: by the names of its reference, by parameter names and by paths."""
    net = model_outline(model)
    parameters = net.collect_params()
    blank = {name: np.broadcast_to(np.zeros(1, np.float32), p.shape) for name, p in parameters.items()}
    paths = {path: blank[p.name] for path, p in net._collect_params_with_prefix().items()}
    states = [("params", blank), ("params", paths)]
    if net.reference_names():
        rows = [(e.sources, e.split(blank[e.name])) for e in net.reference_names()]
        states.append(("torch", {name: part for names, parts in rows for name, part in zip(names, parts)}))
    # The large SSD has the same layers as the small one, with other strides.
    told = {"ssd_resnet34_1200": "ssd_resnet34"}.get(model, model)
    for kind, state in states:
        assert recognise(Source(tmp_path / "a", kind, state)) == told


@pytest.mark.parametrize(
    "model", ["ssd_resnet34", "ssd_resnet18", "retinanet_resnext50_32x4d", "retinanet_resnet50"]
)
def test_every_family_goes_out_and_comes_back(tmp_path, model):
    mx.random.seed(8)
    net = get_model(model, classes=["cat", "dog"])
    wanted = {name: parameter.data().asnumpy() for name, parameter in net.collect_params().items()}
    write_params(wanted, tmp_path / "a.params")
    convert_file(tmp_path / "a.params", tmp_path / "a.pth", model, ["cat", "dog"])
    convert_file(tmp_path / "a.pth", tmp_path / "b.params", model, ["cat", "dog"])
    back = read_params(tmp_path / "b.params")
    assert back.keys() == wanted.keys()
    assert all(np.array_equal(back[name], wanted[name]) for name in wanted)
