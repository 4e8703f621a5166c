"""ReLU6 by convolutions, which trainings on CPU take instead of MXNet's clip."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from mxnet.gluon import nn

from gluon_ssd.nn import BatchNorm, Conv2D, FrozenBatchNorm, GroupNorm, clip_by_convolution


def layers(norm=BatchNorm):
    mx.random.seed(3)
    net = nn.HybridSequential(prefix="a_")
    net.add(Conv2D(5, 3, 1, 1, in_channels=4), norm(5, act="relu6"), Conv2D(2, 1, in_channels=5))
    net.initialize()
    net[1].running_mean.set_data(mx.nd.array([0, 1, -1, 0, 0.5]))
    net[1].running_var.set_data(mx.nd.array([1, 2, 1, 0.5, 1]))
    net[1].gamma.set_data(mx.nd.full(5, 4))
    net[1].beta.set_data(mx.nd.array([0, 3, 6, -2, 9]))
    return net


def run(net, x):
    x.attach_grad()
    with autograd.record():
        y = net(x)
        (y * y).sum().backward()
    grads = [p.grad().asnumpy() for p in net.collect_params().values() if p.grad_req != "null"]
    return [y.asnumpy(), x.grad.asnumpy(), *grads]


@pytest.mark.parametrize("norm", [BatchNorm, FrozenBatchNorm])
@pytest.mark.parametrize("hybrid", [False, True])
def test_outputs_and_gradients_are_those_of_a_clip(hybrid, norm):
    x = mx.nd.random.normal(shape=(2, 4, 6, 7))
    plain, mirrored = layers(norm), layers(norm)
    clip_by_convolution(mirrored)
    for net in (plain, mirrored):
        net.hybridize(hybrid)
    inner = mirrored[1](mirrored[0](x)).asnumpy()
    assert inner.min() == 0 and inner.max() == 6
    for found, wanted in zip(run(mirrored, x), run(plain, x)):
        np.testing.assert_allclose(found, wanted, atol=1e-5 * abs(wanted).max())


def test_a_graph_that_was_cached_follows():
    net = layers()
    net.hybridize()
    before = net(mx.nd.ones((1, 4, 3, 3))).asnumpy()
    clip_by_convolution(net)
    graph = net(mx.sym.var("data")).tojson()
    assert '"clip"' not in graph and graph.count('"Convolution"') == 4
    np.testing.assert_allclose(net(mx.nd.ones((1, 4, 3, 3))).asnumpy(), before, atol=1e-5)


@pytest.mark.parametrize("hybrid", [False, True])
def test_a_group_norm_is_scaled_alike(hybrid):
    x, results = mx.nd.random.normal(3, 2, shape=(2, 8, 5, 4)), []
    for by_convolution in (False, True):
        net = GroupNorm(8, act="relu", groups=4)
        net.initialize()
        net.gamma.set_data(mx.nd.arange(1, 9))
        net.beta.set_data(mx.nd.arange(-4, 4))
        if by_convolution:
            clip_by_convolution(net)
        net.hybridize(hybrid)
        results.append(run(net, x))
    for found, wanted in zip(*results):
        np.testing.assert_allclose(found, wanted, atol=1e-5 * abs(wanted).max())
