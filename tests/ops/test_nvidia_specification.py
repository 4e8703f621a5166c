"""Every network of the zoo, traced through the rules of NVIDIA's operators (`nvidia_operators`)."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from nvidia_operators import NvidiaOperators, Refused, check

from gluon_ssd import list_models
from gluon_ssd.model_zoo.registry import model_outline, model_row
from gluon_ssd.nn import LayerConfig, compute_precision, using
from gluon_ssd.ops import NvidiaOps, detect_features

pytestmark = pytest.mark.once

FLOAT, HALF = np.dtype(np.float32), np.dtype(np.float16)
# What a recipe can ask for: (layout, type of the parameters, mixed precision).
WAYS = [(layout, dtype, False) for layout in ("NCHW", "NHWC") for dtype in ("float32", "float16")]
WAYS += [("NCHW", "float32", True), ("NHWC", "float32", True)]


class Group:
    size, local_rank, local_size = 2, 0, 8

    def allreduce(self, array, name):
        return array


@pytest.fixture
def nvidia(monkeypatch):
    fake = NvidiaOperators(monkeypatch, computes=False)
    chosen = NvidiaOps(detect_features(mx.sym))
    monkeypatch.setattr("gluon_ssd.nn.config.select", lambda device: chosen)
    monkeypatch.setattr("gluon_ssd.ops.nvidia.exchange_buffers", lambda group: 77)
    monkeypatch.setattr(mx.context, "num_gpus", lambda: 8)
    return fake


def trace(nvidia, name, layout, dtype, mixed, group=None, **options):
    with using(LayerConfig(layout, dtype, "gpu", options.pop("norm_fp16", False), group)):
        net = model_outline(name, **options)
    if dtype == "float16":
        net.cast(dtype)
    if mixed:
        compute_precision(net, "float16")
    net(mx.sym.var("data"))
    height, width = net.input_size
    shape = (2, 3, height, width) if layout == "NCHW" else (2, height, width, 3)
    nvidia.check_graph(data=shape)
    return net


@pytest.mark.parametrize(("layout", "dtype", "mixed"), WAYS)
@pytest.mark.parametrize("name", list_models())
def test_no_network_asks_for_what_the_operators_refuse(nvidia, name, layout, dtype, mixed):
    trace(nvidia, name, layout, dtype, mixed)
    counts = nvidia.counts()
    assert counts["Convolution"] > 10
    half = dtype == "float16" or mixed
    fused = [attrs for attrs in nvidia.named("BatchNorm") if "act_type" in attrs]
    # The norms of the other RetinaNets are constants.
    trained = name == "retinanet_resnet50_v2" or not name.startswith("retinanet")
    possible = layout == "NHWC" and half and trained
    assert possible or not fused
    # Other backbones have no norm with an addend, and activations that NVIDIA's norms do not know.
    residual = model_row(name).backbone.startswith("res")
    assert bool(counts["BatchNormAddRelu"]) == (possible and residual)
    assert bool(fused) == possible or not residual


@pytest.mark.parametrize(("layout", "dtype", "mixed"), WAYS)
@pytest.mark.parametrize("name", ["ssd_resnet34", "ssd_resnet50", "retinanet_resnext50_32x4d"])
def test_groups_act_or_are_ours(nvidia, name, layout, dtype, mixed):
    """A norm of a group is NVIDIA's where that knows groups, else the one that exchanges through Horovod."""
    trace(nvidia, name, layout, dtype, mixed, Group())
    norms = nvidia.named("BatchNorm") + nvidia.named("BatchNormAddRelu")
    native = layout == "NHWC" and (dtype == "float16" or mixed)
    # The norms of the other RetinaNets are constants.
    trained = name == "retinanet_resnet50_v2" or not name.startswith("retinanet")
    assert all(("bn_group" in attrs) == (native and trained) for attrs in norms)
    assert bool(norms) == (native or not trained)


def test_half_norms_reach_the_operator_in_float32(nvidia):
    net = trace(nvidia, "ssd_resnet34", "NHWC", "float16", False, norm_fp16=True)
    gammas = [param for name, param in net.collect_params().items() if name.endswith("gamma")]
    assert {np.dtype(param.dtype) for param in gammas} == {HALF}


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("BatchNorm", {"act_type": "relu", "use_global_stats": True}, "fused ReLU"),
        ("BatchNorm", {"act_type": "relu", "cudnn_off": True}, "fused ReLU"),
        ("BatchNorm", {"act_type": "relu", "axis": 1}, "fused ReLU"),
        ("BatchNorm", {"act_type": "tanh"}, "only ReLU"),
        ("BatchNorm", {"bn_group": 2, "xbuf_ptr": 1, "axis": 1}, "bn_group is ignored"),
        ("BatchNorm", {"bn_group": 2}, "without buffers"),
        ("BatchNorm", {"eps": 0.0, "axis": 1}, "epsilon"),
        ("BatchNormAddRelu", {"use_global_stats": True}, "addend is ignored"),
    ],
)
def test_the_rules_notice(name, changes, problem):
    shapes = ((2, 8, 8, 8), *[(8,)] * 4, *[(2, 8, 8, 8)] * (name == "BatchNormAddRelu"))
    types = (HALF, *[FLOAT] * 4, *[HALF] * (name == "BatchNormAddRelu"))
    check(name, {"axis": 3, "eps": 1e-5}, shapes, types)
    with pytest.raises(Refused, match=problem):
        check(name, {"axis": 3, "eps": 1e-5, **changes}, shapes, types)


def test_the_rules_notice_types_and_channels():
    norm = {"axis": 3, "eps": 1e-5, "act_type": "relu"}
    with pytest.raises(Refused, match="parameters"):
        check("BatchNorm", norm, ((2, 8, 8, 8), *[(8,)] * 4), (HALF,) * 5)
    with pytest.raises(Refused, match="fused ReLU"):
        check("BatchNorm", norm, ((2, 8, 8, 6), *[(6,)] * 4), (HALF, *[FLOAT] * 4))
    conv = {"layout": "NHWC", "num_filter": 8, "num_group": 4, "cudnn_tensor_core_only": True}
    with pytest.raises(Refused, match="grouped"):
        check("Convolution", conv, ((2, 8, 8, 8), (8, 3, 3, 2)), (HALF, HALF))
    with pytest.raises(Refused, match="types"):
        check("Convolution", conv, ((2, 8, 8, 8), (8, 3, 3, 2)), (HALF, FLOAT))
