"""The operator seam. NVIDIA's operators are stand-ins here (`nvidia_operators`)."""

from __future__ import annotations

import ctypes

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from nvidia_operators import NvidiaOperators

from gluon_ssd import get_model, ops
from gluon_ssd.errors import UserError
from gluon_ssd.nn import (
    BatchNorm,
    Conv2D,
    FrozenBatchNorm,
    GroupBatchNorm,
    LayerConfig,
    compute_precision,
    using,
)
from gluon_ssd.ops import EmulatedOps, Features, NvidiaOps, StockOps, detect_features, select


@pytest.fixture
def nvidia(monkeypatch):
    fake = NvidiaOperators(monkeypatch)
    chosen = NvidiaOps(detect_features(mx.sym))
    monkeypatch.setattr("gluon_ssd.nn.config.select", lambda device: chosen)
    return fake


def test_this_machine_has_stock_mxnet():
    assert not detect_features(mx.sym) and detect_features(mx.sym) == Features()
    assert type(select("cpu")) is EmulatedOps and type(select("gpu")) is StockOps
    assert select("cpu") is select("cpu")
    report = ops.report()
    assert report["cpu"] == "stock MXNet, with NHWC and float16 emulated"
    assert report["gpu"] == "none found"


def test_nvidias_operators_are_detected(monkeypatch):
    NvidiaOperators(monkeypatch)
    features = detect_features(mx.sym)
    assert features == Features(True, True, True, True)
    monkeypatch.setattr(ops, "detect_features", lambda namespace: features)
    select.cache_clear()
    try:
        assert select("gpu").name == (
            "NVIDIA's MXNet: BatchNorm(act_type), BatchNormAddRelu, BatchNorm(bn_group), "
            "Convolution(cudnn_tensor_core_only)"
        )
        assert type(select("cpu")) is EmulatedOps
    finally:
        select.cache_clear()


@pytest.mark.parametrize("hybridize", [False, True])
def test_network_of_nvidias_operators(nvidia, monkeypatch, hybridize):
    """In NHWC and float16 every norm is one call, and the numbers are those of the emulation."""
    options = {"classes": ["a", "b"], "layout": "NHWC", "dtype": "float16"}
    mx.random.seed(8)
    net = get_model("ssd_tiny", **options)
    monkeypatch.setattr("gluon_ssd.nn.config.select", lambda device: EmulatedOps())
    mx.random.seed(8)
    emulated = get_model("ssd_tiny", **options)
    net.hybridize(hybridize)
    images = mx.nd.random.normal(shape=(1, 192, 192, 3))
    with autograd.train_mode():
        outputs = [array.asnumpy() for array in net(images)]
    calls, nvidia.calls = nvidia.calls, []
    monkeypatch.undo()
    with autograd.train_mode():
        expected = [array.asnumpy() for array in emulated(images)]
    for ours, theirs in zip(outputs, expected):
        np.testing.assert_allclose(ours, theirs, atol=2e-3 * np.abs(theirs).max())

    nvidia.calls = calls
    assert {call[0] for call in calls} == {"Convolution", "BatchNorm", "BatchNormAddRelu"}
    convolutions = nvidia.named("Convolution")
    assert {attrs["layout"] for attrs in convolutions} == {"NHWC"}
    # As published: on the residual network's, stem, 5 blocks of two and 2 shortcuts, and on no others.
    assert [attrs.get("cudnn_tensor_core_only") for attrs in convolutions[:14]] == [True] * 13 + [None]
    assert not any("cudnn_tensor_core_only" in attrs for attrs in convolutions[13:])
    # 4 boxes x (3 logits + 4 deltas) is 28 channels, padded to a multiple of 8.
    assert [attrs["num_filter"] for attrs in convolutions if attrs["num_filter"] < 33][-5:] == [32] * 5
    blocks, norms = nvidia.named("BatchNormAddRelu"), nvidia.named("BatchNorm")
    assert len(blocks) == 5 and all(attrs["axis"] == 3 and attrs["eps"] == 1e-5 for attrs in blocks)
    assert all("act_type" not in attrs for attrs in blocks)
    # The norms of the two shortcuts have nothing to fuse with.
    assert [attrs.get("act_type") for attrs in norms].count(None) == 2 and len(norms) == 14
    assert {attrs.get("act_type") for attrs in norms} == {None, "relu"}


def run_recorded(nvidia, block, x, *rest):
    block.initialize()
    block.cast("float16")
    nvidia.calls.clear()
    y = block(mx.nd.array(x, dtype="float16"), *(mx.nd.array(array, dtype="float16") for array in rest))
    return y.asnumpy(), nvidia.calls


def test_input_is_padded_to_four_channels(nvidia, monkeypatch):
    shapes = []
    inner = mx.nd.Convolution

    def convolution(*arrays, **attrs):
        shapes.extend(array.shape for array in arrays)
        return inner(*arrays, **attrs)

    monkeypatch.setattr(mx.nd, "Convolution", convolution)
    with using(LayerConfig("NHWC", "float16")):
        block = Conv2D(8, 3, padding=1, in_channels=3)
    y, _ = run_recorded(nvidia, block, np.ones((1, 5, 5, 3)))
    assert shapes == [(1, 5, 5, 4), (8, 3, 3, 4)]
    assert block.weight.shape == (8, 3, 3, 3) and y.shape == (1, 5, 5, 8)
    weight = block.weight.data().asnumpy().astype(np.float64)
    np.testing.assert_allclose(y[0, 2, 2], weight.sum(axis=(1, 2, 3)), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("layout", "dtype"), [("NCHW", "float32"), ("NHWC", "float32"), ("NCHW", "float16")])
def test_fused_norms_are_only_for_nhwc_in_float16(nvidia, layout, dtype):
    with using(LayerConfig(layout, dtype)):
        norm = BatchNorm(4, act="relu")
    assert isinstance(norm._ops, NvidiaOps)

    class F:
        """Just enough of MXNet to see which operators are called."""

        def __getattr__(self, name):
            return lambda *arrays, **attrs: seen.append((name, attrs)) or 0

    seen = []
    norm.hybrid_forward(F(), 0, 0, gamma=0, beta=0, running_mean=0, running_var=0)
    assert [name for name, _ in seen] == ["BatchNorm", "Activation"]
    assert "act_type" not in seen[0][1]


@pytest.mark.parametrize(("epsilon", "off"), [(1e-5, False), (0, True)])
def test_norms_with_global_statistics_are_never_fused(nvidia, epsilon, off):
    """NVIDIA's operator ends the process for a fused ReLU with them, and forgets the addend."""
    x = np.random.RandomState(0).normal(size=(1, 2, 2, 4))
    for inputs in ([x], [x, x]):
        with using(LayerConfig("NHWC", "float16")):
            frozen = FrozenBatchNorm(4, act="relu", epsilon=epsilon)
        _, calls = run_recorded(nvidia, frozen, *inputs)
        ((name, _, attrs),) = calls
        assert (name, attrs["use_global_stats"], attrs["cudnn_off"]) == ("BatchNorm", True, off)
        assert "act_type" not in attrs


def test_attributes_that_another_gluon_keeps_are_not_passed_on(nvidia):
    with using(LayerConfig("NHWC", "float16")):
        norm, conv = BatchNorm(4, act="relu"), Conv2D(4, 1, in_channels=4)
    norm._kwargs.update(act_type="relu", fuse_relu=False)
    conv._kwargs.update(cudnn_algo_of_tomorrow=1)
    x = np.ones((1, 2, 2, 4))
    assert run_recorded(nvidia, norm, x)[1][0][2]["act_type"] == "relu"
    assert "cudnn_algo_of_tomorrow" not in run_recorded(nvidia, conv, x)[1][0][2]


class Library:
    """The two functions of NVIDIA's library that open the buffers of a group."""

    def __init__(self):
        self.calls = []

    def MXInitXBufSingle(self, rank, rounds, buffers, handle):
        handle[0] = b"H"
        self.calls.append(("init", rank, rounds, len(buffers), len(handle)))
        return 0

    def MXOpenIpcHandles(self, rank, ranks, rounds, buffers, handles):
        buffers[0] = 77
        self.calls.append(("open", rank, ranks, rounds, handles.raw[:64:63] + handles.raw[64:65]))
        return 0


class NvidiaGroup:
    size, local_rank, local_size = 4, 1, 8

    def gather_local(self, handle):
        return [b"G" + bytes(63), handle] + [bytes(64)] * 6

    def allreduce(self, array, name):
        raise AssertionError("NVIDIA's operator exchanges statistics itself")


@pytest.fixture
def eight_gpus(monkeypatch):
    monkeypatch.setattr(mx.context, "num_gpus", lambda: 8)


def test_group_norm_of_nvidia(nvidia, monkeypatch, eight_gpus):
    library = Library()
    monkeypatch.setattr(mx.base, "_LIB", library)
    with using(LayerConfig("NHWC", "float16", group=NvidiaGroup())):
        block = GroupBatchNorm(4, act="relu", group=NvidiaGroup())
        fused = GroupBatchNorm(4, act="relu", group=NvidiaGroup())
    monkeypatch.setattr(mx.base, "_LIB", ctypes.CDLL(mx.libinfo.find_lib_path()[0]))
    assert library.calls[:2] == [("init", 1, 2, 8, 64), ("open", 1, 8, 2, b"G\x00H")]
    assert len(library.calls) == 4  # one exchange per norm
    x = np.random.RandomState(0).normal(size=(1, 2, 2, 4))
    _, calls = run_recorded(nvidia, block, x)
    (name, arrays, attrs), *others = calls
    assert (name, arrays, attrs["bn_group"], attrs["act_type"]) == ("BatchNorm", 5, 4, "relu") and not others
    assert ctypes.c_void_p.from_address(attrs["xbuf_ptr"]).value == 77
    _, calls = run_recorded(nvidia, fused, x, x)
    assert [(name, attrs["bn_group"]) for name, _, attrs in calls] == [("BatchNormAddRelu", 4)]
    assert calls[0][2]["xbuf_ptr"] != attrs["xbuf_ptr"]


@pytest.mark.parametrize(("layout", "dtype"), [("NCHW", "float16"), ("NCHW", "float32"), ("NHWC", "float32")])
def test_a_group_that_nvidias_norm_would_ignore_exchanges_through_horovod(
    nvidia, monkeypatch, eight_gpus, layout, dtype
):
    monkeypatch.setattr("gluon_ssd.ops.nvidia.exchange_buffers", lambda group: 77)
    with using(LayerConfig(layout, dtype, group=NvidiaGroup())):
        block = GroupBatchNorm(4, act="relu", group=NvidiaGroup())
    seen = []

    class F:
        """Just enough of MXNet to see which operators are called."""

        def __getattr__(self, name):
            return lambda *arrays, **attrs: seen.append((name, attrs)) or [0]

    block.hybrid_forward(F(), 0, None, gamma=0, beta=0, running_mean=0, running_var=0)
    names = [attrs.get("op_type", name) for name, attrs in seen]
    assert "gluon_ssd_group_norm" in names and "BatchNorm" not in names


def test_mixed_precision_groups_use_nvidias_norm(nvidia, monkeypatch, eight_gpus):
    monkeypatch.setattr("gluon_ssd.ops.nvidia.exchange_buffers", lambda group: 77)
    with using(LayerConfig("NHWC", "float32", group=NvidiaGroup())):
        block = GroupBatchNorm(4, act="relu", group=NvidiaGroup())
    compute_precision(block, "float16")
    block.initialize()
    block(mx.nd.ones((1, 2, 2, 4)))
    ((name, _, attrs),) = nvidia.calls
    assert (name, attrs["bn_group"], attrs["xbuf_ptr"], attrs["act_type"]) == ("BatchNorm", 4, 77, "relu")


@pytest.mark.parametrize(
    ("size", "local_size", "gpus", "problem"),
    [
        (3, 6, 8, "groups of 2, 4 and 8"),
        (16, 16, 16, "groups of 2, 4 and 8"),
        (4, 2, 8, "does not divide the 2 processes of this machine"),
        (4, 6, 8, "does not divide the 6 processes of this machine"),
        (2, 8, 1, "sees 1 of the 8 GPUs of its machine.*--gpus-per-task"),
    ],
)
def test_groups_that_nvidias_norm_cannot_serve_are_refused(
    nvidia, monkeypatch, size, local_size, gpus, problem
):
    monkeypatch.setattr(mx.context, "num_gpus", lambda: gpus)
    group = NvidiaGroup()
    group.size, group.local_size = size, local_size
    with using(LayerConfig("NHWC", "float16", group=group)), pytest.raises(UserError, match=problem):
        GroupBatchNorm(4, group=group)
