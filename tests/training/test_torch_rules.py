"""What MXNet, and with it this package, computes otherwise than PyTorch in what trains, and by how much.

docs/published-systems.md lists these sizes. test_train_step.py holds whole training steps to the references.
"""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from PIL import Image

from gluon_ssd import nn
from gluon_ssd.data.colour import Colour, recolour
from gluon_ssd.data.images import resize_image
from gluon_ssd.losses import RetinaLoss
from gluon_ssd.ops.stock import StockOps
from gluon_ssd.training.step import TrainStep

torch = pytest.importorskip("torch")
RANDOM = np.random.RandomState(0)


@pytest.fixture(autouse=True)
def seed():
    RANDOM.seed(0)


def gap(ours, theirs):
    """The largest difference, as a share of the largest absolute value."""
    theirs = theirs.detach().double().numpy() if isinstance(theirs, torch.Tensor) else theirs
    return float(np.abs(ours.asnumpy().astype(np.float64) - theirs).max() / np.abs(theirs).max())


def both(value, block, function):
    """Outputs and input gradients of a block of ours and of a function of PyTorch on ``value``."""
    ours, theirs = mx.nd.array(value), torch.tensor(value, dtype=torch.float64, requires_grad=True)
    ours.attach_grad()
    weights = RANDOM.normal(size=function(theirs).shape).astype(np.float32)
    with autograd.record():
        output = block(ours)
        (output * mx.nd.array(weights)).sum().backward()
    wanted = function(theirs)
    (wanted * torch.tensor(weights)).sum().backward()
    return gap(output, wanted), gap(ours.grad, theirs.grad)


class Line(gluon.HybridBlock):
    """A network of one weight matrix whose loss has the gradient that it is given."""

    def __init__(self, value):
        super().__init__()
        with self.name_scope():
            self.weight = self.params.get("weight", shape=value.shape)
        self.initialize()
        self.weight.set_data(mx.nd.array(value))

    def arrange(self, images):
        return images

    def hybrid_forward(self, F, images, weight):
        return F.sum(images * weight), F.zeros_like(weight)


class Given(gluon.HybridBlock):
    part_names = ()

    def hybrid_forward(self, F, value, other):
        return (F.reshape(value, (1,)),)


def sgd(start, gradients, rates, decay):
    """The same weights after SGD with momentum and decay at these rates: ours, and PyTorch's."""
    net, theirs = Line(start), torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    step = TrainStep(net, Given(), weight_decay=decay, momentum=0.9, hybridize=False)
    optimizer = torch.optim.SGD([theirs], lr=1, momentum=0.9, weight_decay=decay)
    for rate, gradient in zip(rates, gradients):
        step(mx.nd.array(gradient), [], lr=rate)
        optimizer.param_groups[0]["lr"] = rate
        theirs.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    return net.weight.data(), theirs


def test_sgd_with_momentum_and_decay_at_one_rate():
    start = RANDOM.normal(size=(4, 5)).astype(np.float32)
    gradients = RANDOM.normal(size=(20, 4, 5)).astype(np.float32)
    assert gap(*sgd(start, gradients, [0.1] * 20, decay=0.1)) < 1e-6


def test_after_a_decay_of_the_rate_what_momentum_holds_still_moves_at_the_old_rate():
    """0.9 + 0.81 + ... = 9 times the last update in all, where PyTorch's moves a tenth of that."""
    start = RANDOM.normal(size=(4, 5)).astype(np.float32)
    gradients = RANDOM.normal(size=(20, 4, 5)).astype(np.float32)
    rates, none = [0.1] * 20 + [0.01] * 200, np.zeros((200, 4, 5), np.float32)
    ours, theirs = sgd(start, np.concatenate([gradients, none]), rates, decay=0)
    moved = ours.asnumpy() - theirs.detach().numpy()
    held = sum(0.9**age * gradient for age, gradient in enumerate(gradients[::-1]))
    np.testing.assert_allclose(moved, -0.9 * 9 * 0.1 * held, rtol=1e-3, atol=1e-5)


def test_smooth_l1_has_beta_1():
    value = RANDOM.uniform(-3, 3, (6, 7)).astype(np.float32)
    value[0, :3] = 0, 1, -1
    zeros = torch.zeros((6, 7), dtype=torch.float64)

    def function(x):
        return torch.nn.functional.smooth_l1_loss(x, zeros, reduction="none", beta=1.0)

    assert max(both(value, lambda x: mx.nd.smooth_l1(x, scalar=1.0), function)) < 1e-6


@pytest.mark.parametrize("images, side, share", [(4, 1, 4 / 3), (32, 1, 32 / 31), (2, 38, 2888 / 2887)])
def test_running_variance_is_of_n_values_instead_of_n_minus_1(images, side, share):
    value = RANDOM.normal(1, 2, (images, 3, side, side)).astype(np.float32)
    ours, theirs = nn.norm(3), torch.nn.BatchNorm2d(3).double()
    ours.initialize()
    assert max(both(value, ours, theirs)) < 1e-3
    theirs.reset_running_stats()
    theirs(torch.tensor(value).double())
    assert gap(ours.running_mean.data(), theirs.running_mean) < 1e-6
    added = ours.running_var.data().asnumpy() - 0.9
    np.testing.assert_allclose((theirs.running_var.numpy() - 0.9) / added, share, rtol=1e-4)


@pytest.mark.parametrize("side", [12, 13])
def test_max_pooling_of_the_stem(side):
    """Also where all values are negative, so that padding with zeros would show."""
    value = RANDOM.uniform(-2, -1, (2, 3, side, side)).astype(np.float32)
    assert max(both(value, nn.MaxPool2D(3, 2, 1), torch.nn.MaxPool2d(3, 2, 1))) < 1e-6


def test_the_gradient_of_a_tie_in_max_pooling():
    value = np.ones((1, 1, 4, 4), np.float32)
    assert both(value, nn.MaxPool2D(2, 2, 0), torch.nn.MaxPool2d(2, 2)) == (0, 0)


@pytest.mark.parametrize("side", [75, 10, 9])
@pytest.mark.parametrize("kernel, padding", [(2, 0), (3, 1)])
def test_max_pooling_that_rounds_up(side, kernel, padding):
    """As in VGG-16 and in GluonCV's networks; those of this package round down."""
    value = RANDOM.uniform(-2, -1, (1, 2, side, side)).astype(np.float32)
    ours = gluon.nn.MaxPool2D(kernel, 2, padding, ceil_mode=True)
    assert max(both(value, ours, torch.nn.MaxPool2d(kernel, 2, padding, ceil_mode=True))) < 1e-6


@pytest.mark.parametrize("scale, size", [(1, 1e-6), (1e-4, 4e-3), (1e-6, 0.9)])
def test_l2_normalization_adds_epsilon_under_the_root(scale, size):
    """PyTorch divides by the norm, or by 1e-12 where that is larger."""
    value = (scale * RANDOM.normal(size=(1, 8, 3, 3))).astype(np.float32)
    found = both(value, lambda x: mx.nd.L2Normalization(x, mode="channel"), torch.nn.functional.normalize)
    assert max(found) < size and (scale == 1 or max(found) > size / 4)


@pytest.mark.parametrize("target", [0, 1])
def test_focal_loss_of_logits_however_large(target):
    logits = np.array([-200, -100, -30, -10, -1, 0, 1, 10, 30, 100, 200], np.float32)[:, None]
    loss = RetinaLoss()
    ours = loss.positive if target else loss.negative

    def function(x):
        goal = torch.full_like(x, target)
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(x, goal, reduction="none")
        miss = torch.sigmoid(-x if target else x)
        return (0.25 if target else 0.75) * miss**2 * entropy

    assert max(both(logits, lambda x: ours(mx.nd, x), function)) < 1e-6


def test_cross_entropy_of_logits_however_large():
    logits = np.array([[200, -200, 0], [1, 2, 3], [-300, -300, -300]], np.float32)
    found = both(logits, lambda x: mx.nd.log_softmax(x, axis=-1), lambda x: torch.log_softmax(x, -1))
    assert max(found) < 1e-5


@pytest.mark.parametrize("scale", [1, 1e-3])
def test_group_normalization(scale):
    """No network here has it; a model from outside may. Its epsilon, 1e-5, shows at the smaller scale."""
    value = (scale * RANDOM.normal(size=(2, 8, 3, 3))).astype(np.float32)
    ours = gluon.nn.GroupNorm(num_groups=4)
    ours.initialize()
    assert max(both(value, ours, torch.nn.GroupNorm(4, 8).double())) < 1e-6


def test_nearest_upsampling():
    value = RANDOM.normal(size=(1, 2, 3, 4)).astype(np.float32)
    ours = StockOps()
    found = both(value, lambda x: ours.upsample(mx.nd, x, layout="NCHW"), torch.nn.Upsample(scale_factor=2))
    assert max(found) < 1e-6


def test_bilinear_resize_that_shrinks():
    """On noise, the hardest picture; on photographs it is a third of this."""
    image = RANDOM.randint(0, 256, (420, 420, 3)).astype(np.uint8)
    planes = torch.tensor(image).permute(2, 0, 1)[None].double()
    theirs = torch.nn.functional.interpolate(planes, size=(262, 262), mode="bilinear", antialias=True)
    difference = resize_image(image, (262, 262)) - theirs[0].permute(1, 2, 0).numpy()
    assert 6 < np.sqrt((difference**2).mean()) < 8


def turned_in_hsv(image, turn):
    """What torchvision's ColorJitter makes of an 8-bit picture: Pillow's hue, of 256 steps, is moved."""
    hue, saturation, value = Image.fromarray(image).convert("HSV").split()
    moved = (np.asarray(hue).astype(int) + int(turn * 255)) % 256
    bands = Image.fromarray(moved.astype(np.uint8)), saturation, value
    return np.asarray(Image.merge("HSV", bands).convert("RGB"))


@pytest.mark.parametrize("turn, size", [(0.05, 13), (0.5 / 360, 1.3)])
def test_hue_keeps_the_luma_where_that_of_pillow_keeps_the_largest_channel(turn, size):
    y, x = np.mgrid[0:64, 0:64]
    image = np.stack([x * 3 + 20, y * 3 + 30, 200 - x - y], 2).astype(np.uint8)
    ours = recolour(image, Colour(1, 1, 1, turn))
    theirs = turned_in_hsv(image, turn)
    assert size / 2 < np.sqrt(((ours.astype(float) - theirs) ** 2).mean()) < size
