"""Fused operators against those of stock MXNet, and norms over several GPUs."""

import sys

import mxnet as mx
import numpy as np
import pytest
from launching import need_horovod, run
from mxnet import autograd
from places import REPOSITORY

from gluon_ssd.nn import BatchNorm, LayerConfig, using
from gluon_ssd.ops import NvidiaOps, StockOps, select

SHAPE = (4, 19, 19, 64)


def step(ops, device, monkeypatch, residual):
    """Output, gradients of input, residual, gamma and beta, and running statistics after one pass."""
    monkeypatch.setattr("gluon_ssd.nn.config.select", lambda name: ops)
    with using(LayerConfig("NHWC", "float16", device.device_type)):
        norm = BatchNorm(SHAPE[3], act="relu")
    norm.initialize(ctx=device)
    norm.cast("float16")
    random = np.random.RandomState(0)
    arrays = [mx.nd.array(random.normal(size=SHAPE), ctx=device, dtype="float16") for _ in range(3)]
    x, add, weight = arrays
    for array in (x, add):
        array.attach_grad()
    with autograd.record():
        y = norm(x, add) if residual else norm(x)
        loss = (y * weight).sum()
    loss.backward()
    found = [y, x.grad, norm.gamma.grad(), norm.beta.grad()] + ([add.grad] if residual else [])
    found += [norm.running_mean.data(), norm.running_var.data()]
    return [array.asnumpy().astype(np.float32) for array in found]


@pytest.mark.parametrize("residual", [False, True])
def test_fused_norms_are_those_of_stock_operators(device, monkeypatch, residual):
    fused = select(device.device_type)
    stock = StockOps() if isinstance(fused, NvidiaOps) else fused
    if not isinstance(fused, NvidiaOps):
        print("no fused operators in this MXNet: stock ones compared with themselves")
    ours = step(fused, device, monkeypatch, residual)
    theirs = step(stock, device, monkeypatch, residual)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-2 * np.abs(b).max())


def test_two_processes_train_as_one_with_shared_norms(gpus, tmp_path):
    """By Horovod, with NCCL where there are two GPUs; norms in one group."""
    need_horovod()
    if gpus == 1:
        pytest.skip("one GPU: two processes need two")
    from gluon_ssd.data.shapes import make_shapes

    data = make_shapes(tmp_path / "data", train=15, val=1, size=(96, 128))
    run(2, REPOSITORY / "tests/support/rank_steps.py", data, tmp_path)
    with np.load(tmp_path / "rank0.npz") as first, np.load(tmp_path / "rank1.npz") as second:
        names = [name for name in first if name.startswith("group/") and not name.endswith(("ids", "moved"))]
        assert len(names) > 20
        for name in names:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_this_python_is_the_one_that_has_gluon_ssd():
    print(sys.version, mx.__version__, select("gpu").name)
