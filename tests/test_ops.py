"""The operator seam. NVIDIA's operators are stand-ins here: they record their attributes and compute."""

from __future__ import annotations

import ctypes

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from gluon_ssd import get_model, ops
from gluon_ssd.nn import BatchNorm, Conv2D, FrozenBatchNorm, GroupBatchNorm, LayerConfig, using
from gluon_ssd.ops import EmulatedOps, Features, NvidiaOps, StockOps, detect, select


class FakeNvidia:
    """NVIDIA's build of MXNet: its operators, with their attributes, computed by stock ones on a CPU."""

    def __init__(self, monkeypatch):
        self.calls = []
        real = {(F, name): getattr(F, name) for F in (mx.sym, mx.nd) for name in ("Convolution", "BatchNorm")}
        for F in (mx.sym, mx.nd):
            monkeypatch.setattr(F, "Convolution", self.convolution(F, real[F, "Convolution"]))
            monkeypatch.setattr(F, "BatchNorm", self.norm(F, real[F, "BatchNorm"]))
            fused = self.norm_add_relu(F, real[F, "BatchNorm"])
            monkeypatch.setattr(F, "BatchNormAddRelu", fused, raising=False)

    def record(self, name, arrays, attrs):
        self.calls.append((name, len(arrays), attrs))

    def convolution(self, F, real):
        def Convolution(*arrays, name=None, cudnn_tensor_core_only=None, **attrs):
            used = (
                {} if cudnn_tensor_core_only is None else {"cudnn_tensor_core_only": cudnn_tensor_core_only}
            )
            if len(arrays) == 1:  # Gluon asks for the shape of the weight
                return real(*arrays, **attrs)
            self.record("Convolution", arrays, {**attrs, **used})
            arrays = [F.cast(array, dtype="float32") for array in arrays]
            if attrs["layout"] == "NHWC":
                arrays[:2] = [F.transpose(array, axes=(0, 3, 1, 2)) for array in arrays[:2]]
            x = real(*arrays, **{**attrs, "layout": "NCHW"})
            return F.cast(F.transpose(x, axes=(0, 2, 3, 1)), dtype="float16")

        return Convolution

    def compute(self, F, real, x, rest, attrs, addend=None):
        attrs = {key: value for key, value in attrs.items() if key not in ("bn_group", "xbuf_ptr")}
        x = F.transpose(F.cast(x, dtype="float32"), axes=(0, 3, 1, 2))
        x = F.transpose(real(x, *rest, **{**attrs, "axis": 1}), axes=(0, 2, 3, 1))
        return x if addend is None else x + F.cast(addend, dtype="float32")

    def norm(self, F, real):
        def BatchNorm(x, *rest, name=None, act_type=None, bn_group=1, xbuf_ptr=None, **attrs):
            group = {} if bn_group == 1 else {"bn_group": bn_group, "xbuf_ptr": xbuf_ptr}
            self.record("BatchNorm", (x, *rest), {**attrs, **group, "act_type": act_type})
            y = self.compute(F, real, x, rest, attrs)
            return F.cast(y if act_type is None else F.Activation(y, act_type=act_type), dtype="float16")

        return BatchNorm

    def norm_add_relu(self, F, real):
        def BatchNormAddRelu(*, data, gamma, beta, addend, moving_mean, moving_var, name=None, **attrs):
            self.record("BatchNormAddRelu", (data, gamma, beta, moving_mean, moving_var), attrs)
            y = self.compute(F, real, data, (gamma, beta, moving_mean, moving_var), attrs, addend)
            return F.cast(F.Activation(y, act_type="relu"), dtype="float16")

        return BatchNormAddRelu

    def named(self, name):
        return [attrs for call, _, attrs in self.calls if call == name]


@pytest.fixture
def nvidia(monkeypatch):
    fake = FakeNvidia(monkeypatch)
    chosen = NvidiaOps(detect(mx.sym))
    monkeypatch.setattr("gluon_ssd.nn.config.select", lambda device: chosen)
    return fake


def test_this_machine_has_stock_mxnet():
    assert not detect(mx.sym) and detect(mx.sym) == Features()
    assert type(select("cpu")) is EmulatedOps and type(select("gpu")) is StockOps
    assert select("cpu") is select("cpu")
    report = ops.report()
    assert report["cpu"] == "stock MXNet, with NHWC and float16 emulated"
    assert report["gpu"] == "none found"


def test_nvidias_operators_are_detected(monkeypatch):
    FakeNvidia(monkeypatch)
    features = detect(mx.sym)
    assert features == Features(True, True, True, True)
    monkeypatch.setattr(ops, "detect", lambda namespace: features)
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
    assert all(attrs["cudnn_tensor_core_only"] and attrs["layout"] == "NHWC" for attrs in convolutions)
    # 4 boxes x (3 logits + 4 deltas) is 28 channels, padded to a multiple of 8.
    assert [attrs["num_filter"] for attrs in convolutions if attrs["num_filter"] < 33][-5:] == [32] * 5
    blocks, norms = nvidia.named("BatchNormAddRelu"), nvidia.named("BatchNorm")
    assert len(blocks) == 5 and all(attrs["axis"] == 3 and attrs["eps"] == 1e-5 for attrs in blocks)
    assert all("act_type" not in attrs for attrs in blocks)
    # The norms of the two shortcuts have nothing to fuse with.
    assert [attrs["act_type"] for attrs in norms].count(None) == 2 and len(norms) == 14
    assert {attrs["act_type"] for attrs in norms} == {None, "relu"}


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


def test_frozen_norms_of_epsilon_zero_stay_off_cudnn(nvidia):
    with using(LayerConfig("NHWC", "float16")):
        plain, zero = FrozenBatchNorm(4, act="relu"), FrozenBatchNorm(4, act="relu", epsilon=0)
    x = np.random.RandomState(0).normal(size=(1, 2, 2, 4))
    _, calls = run_recorded(nvidia, plain, x)
    assert [(name, attrs["act_type"], attrs["cudnn_off"]) for name, _, attrs in calls] == [
        ("BatchNorm", "relu", False)
    ]
    assert calls[0][2]["use_global_stats"] is True
    _, calls = run_recorded(nvidia, zero, x)
    assert calls[0][2]["act_type"] is None and calls[0][2]["cudnn_off"] is True


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


def test_group_norm_of_nvidia(nvidia, monkeypatch):
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
