"""Norm and ReLU as one operator, which training graphs on CPU have, and nothing else."""

import mxnet as mx
import numpy as np
import pytest

from gluon_ssd import get_model
from gluon_ssd.nn import compute_precision
from gluon_ssd.ops import emulated, training_graph
from gluon_ssd.training.step import TrainStep


def train(precision=None, layout="NCHW", **options):
    """Returns losses, gradients, parameters with running statistics, and the graph, after two updates."""
    mx.random.seed(4)
    net = get_model("ssd_tiny", classes=["a", "b"], layout=layout)
    compute_precision(net, precision)
    step = TrainStep(net, net.loss(), **options)
    height, width = net.input_size
    boxes = np.array([[[0.1, 0.2, 0.5, 0.7], [0.4, 0.4, 0.9, 0.8]]] * 2, np.float32)
    targets = [mx.nd.array(array) for array in net.target_encoder()(boxes, np.array([[0, 1]] * 2))]
    arrays = []
    for _ in range(2 * step.accumulate):
        images = mx.nd.random.uniform(-2, 2, (2, 3, height, width))
        arrays += step(images, targets, lr=1e-2)
    parameters = net.collect_params().values()
    arrays += [parameter.grad() for parameter in parameters if parameter.grad_req != "null"]
    arrays += [parameter.data() for parameter in parameters]
    return [array.asnumpy() for array in arrays], step._graph._cached_graph[1].tojson(), net


@pytest.mark.once
@pytest.mark.parametrize(
    ("precision", "options", "fused"),
    [
        (None, {}, 12),
        ("bfloat16", {}, 12),
        (None, {"accumulate": 2}, 12),
        (None, {"layout": "NHWC"}, 0),
    ],
)
def test_a_training_is_the_same_to_the_last_bit(monkeypatch, precision, options, fused):
    arrays, graph, _ = train(precision, **options)
    assert graph.count('"_contrib_BatchNormWithReLU"') == fused
    monkeypatch.setattr(emulated, "has_norm_relu", lambda: False)
    plain, graph, _ = train(precision, **options)
    assert "WithReLU" not in graph
    for found, wanted in zip(arrays, plain):
        np.testing.assert_array_equal(found, wanted)


def test_the_network_itself_stays_as_it_is():
    net = get_model("ssd_tiny", classes=["a"])
    step = TrainStep(net, net.loss())
    inside = step._graph(mx.sym.var("data"), mx.sym.var("classes"), mx.sym.var("boxes"))
    assert "WithReLU" in inside[0].tojson()
    outside = mx.sym.Group(list(net(mx.sym.var("data")))).tojson()
    assert "WithReLU" not in outside and '"Activation"' in outside


def test_without_onednn_they_stay_two(monkeypatch):
    monkeypatch.setenv("MXNET_MKLDNN_ENABLED", "0")
    emulated.has_norm_relu.cache_clear()
    try:
        net = get_model("ssd_tiny", classes=["a"])
        with training_graph():
            assert "WithReLU" not in net(mx.sym.var("data"))[0].tojson()
    finally:
        emulated.has_norm_relu.cache_clear()
