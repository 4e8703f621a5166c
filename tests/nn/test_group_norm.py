from __future__ import annotations

import threading

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from gluon_ssd import get_model
from gluon_ssd.nn import BatchNorm, GroupBatchNorm, LayerConfig, norm, using

pytestmark = pytest.mark.once


class Ranks:
    """Ranks of one process: a sum waits until all ranks have brought their part of that name."""

    def __init__(self, size):
        self.size = size
        self._change = threading.Condition()
        self._parts = {}

    def rank(self, index):
        return _Rank(self, index)

    def sum(self, index, name, array):
        with self._change:
            rounds = self._parts.setdefault(name, [[] for _ in range(self.size)])
            rounds[index].append(array)
            turn = len(rounds[index])
            self._change.notify_all()
            done = self._change.wait_for(lambda: all(len(parts) >= turn for parts in rounds), timeout=10)
            assert done, f"not every rank came to {name}"
            return np.sum([parts[turn - 1] for parts in rounds], axis=0)


class _Rank:
    def __init__(self, ranks, index):
        self.size, self._ranks, self._index = ranks.size, ranks, index

    def allreduce(self, array, name):
        return mx.nd.array(self._ranks.sum(self._index, name, array.asnumpy()))


def build(config, make):
    with using(config):
        block = make()
    block.initialize()
    return block


def set_random(block, seed=3):
    random = np.random.RandomState(seed)
    for name, parameter in block.collect_params().items():
        low = 0.5 if name.endswith(("gamma", "var")) else -0.5
        parameter.set_data(mx.nd.array(random.uniform(low, 1.5, parameter.shape)))


def step(blocks, inputs, residuals, weights):
    """One pass in training mode; returns output and gradient of the input of every block (rank).

    Forward and backward of a rank are queued before the next one's, and not joined with them.
    """
    inputs, residuals, weights = ([mx.nd.array(x) for x in arrays] for arrays in (inputs, residuals, weights))
    for x in inputs:
        x.attach_grad()
    with mx.engine.bulk(0), autograd.record():
        outputs = [block(x, residual) for block, x, residual in zip(blocks, inputs, residuals)]
        losses = [(y * weight).sum() for y, weight in zip(outputs, weights)]
    for loss in losses:
        loss.backward()
    return [y.asnumpy() for y in outputs], [x.grad.asnumpy() for x in inputs]


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_ranks_together_equal_one_large_batch(layout, hybridize):
    shape = (6, 5, 4, 3) if layout == "NCHW" else (6, 4, 3, 5)
    random = np.random.RandomState(0)
    # Far from zero, where a variance from sums of squares would lose its digits.
    x, r, w = (random.normal(mean, 1, shape).astype(np.float32) for mean in (50, 0, 0))
    large = build(LayerConfig(layout), lambda: norm(5, act="relu", prefix="norm_"))
    assert type(large) is BatchNorm
    ranks = Ranks(2)
    # Unequal shares: four images and two.
    parts = (slice(0, 4), slice(4, 6))
    groups = [
        build(LayerConfig(layout, group=ranks.rank(i)), lambda: norm(5, act="relu", prefix="norm_"))
        for i in range(2)
    ]
    assert all(type(block) is GroupBatchNorm for block in groups)
    for block in (large, *groups):
        set_random(block)
        block.hybridize(hybridize)
    (y,), (dx,) = step([large], [x], [r], [w])
    ys, dxs = step(groups, *([array[part] for part in parts] for array in (x, r, w)))
    np.testing.assert_allclose(np.concatenate(ys), y, atol=2e-4)
    np.testing.assert_allclose(np.concatenate(dxs), dx, atol=2e-4)
    for name in ("gamma", "beta"):
        whole = getattr(large, name).grad().asnumpy()
        total = sum(getattr(block, name).grad().asnumpy() for block in groups)
        np.testing.assert_allclose(total, whole, rtol=1e-3, atol=1e-3)
    for name in ("running_mean", "running_var"):
        whole = getattr(large, name).data().asnumpy()
        for block in groups:
            np.testing.assert_allclose(getattr(block, name).data().asnumpy(), whole, rtol=1e-4)
    image = mx.nd.array(x[:1])
    zero = mx.nd.zeros_like(image)
    np.testing.assert_allclose(groups[0](image, zero).asnumpy(), large(image, zero).asnumpy(), atol=1e-4)


def test_one_rank_is_plain_batch_norm():
    class Alone:
        size = 1

    block = build(LayerConfig(group=Alone()), lambda: norm(3))
    assert type(block) is BatchNorm


def test_a_group_of_one_computes_what_plain_batch_norm_computes():
    """The operator itself, which `norm` would not take for one rank."""
    group = build(LayerConfig(), lambda: GroupBatchNorm(4, group=Ranks(1).rank(0)))
    plain = build(LayerConfig(), lambda: BatchNorm(4))
    random = np.random.RandomState(1)
    x, w = (random.normal(size=(2, 4, 3, 3)).astype(np.float32) for _ in range(2))
    zero = np.zeros_like(x)
    results = []
    for block in (group, plain):
        set_random(block)
        results.append(step([block], [x], [zero], [w]))
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-5)


def test_a_network_takes_a_group_and_keeps_its_names():
    plain = get_model("ssd_tiny", classes=["a"])
    grouped = get_model("ssd_tiny", classes=["a"], bn_group=Ranks(2).rank(0))
    assert list(plain.collect_params()) == list(grouped.collect_params())
    norms = []
    grouped.apply(lambda block: norms.append(type(block)) if isinstance(block, BatchNorm) else None)
    assert len(norms) == 19 and set(norms) == {GroupBatchNorm}
    image = mx.nd.random.normal(shape=(1, 3, 192, 192))
    for name, parameter in plain.collect_params().items():
        grouped.collect_params()[name].set_data(parameter.data())
    for ours, theirs in zip(grouped(image), plain(image)):
        np.testing.assert_allclose(ours.asnumpy(), theirs.asnumpy(), atol=1e-5)
