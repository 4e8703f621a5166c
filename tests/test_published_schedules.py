"""The learning rate of the published configurations, step by step.

The expected rates are worked out here from the published formulas, without any code of the package: NVIDIA's
and Fujitsu's MXNet SSD of MLPerf Training 1.1, MLPerf's RetinaNet reference, DeepLearningExamples' SSD and
the DALI example.
"""

import pytest

from gluon_ssd.engine.build import make_schedule
from gluon_ssd.engine.distributed import World
from gluon_ssd.engine.observer import RunObserver
from gluon_ssd.engine.setup import gather
from gluon_ssd.engine.train import _Training
from gluon_ssd.recipe import Recipe

COCO, OPENIMAGES = 117266, 1170301  # training images with objects


def places(warmup, per_epoch, *later):
    """20 (epoch, iteration), both from 1: along the warm-up, around its end, the ends of epochs ``later``."""
    early = [1, 2, 3, 10, warmup // 4, warmup // 3, warmup // 2, warmup - 2, warmup - 1]
    early += [warmup, warmup + 1, warmup + 2]
    found = [((iteration - 1) // per_epoch + 1, iteration) for iteration in early]
    for epoch in later:
        first = (epoch - 1) * per_epoch + 1
        found += [(epoch, first), (epoch, first + per_epoch - 1)]
    return found


def agrees(recipe, images, processes, expected):
    schedule = make_schedule(recipe, images, processes)
    assert len(expected) == 20
    for (epoch, iteration), rate in expected.items():
        assert schedule(epoch, iteration) == pytest.approx(rate, rel=1e-12), (epoch, iteration)


@pytest.mark.parametrize(
    ("gpus", "batch", "lr", "warmup_epochs", "decays", "warmup"),
    [
        pytest.param(8, 114, 0.003157, 5, (44, 55), 642, id="DGXA100 1x8x114"),
        pytest.param(64, 24, 0.004, 15, (48, 60), 1145, id="DGXA100 8x8x24x2"),
        pytest.param(1024, 3, 0.004, 35, (68, 85), 1336, id="DGXA100 128x8x3x8"),
        pytest.param(4, 114, 0.003157, 3, (44, 55), 771, id="PRIMERGY GX2460 4x114"),
        pytest.param(8, 64, 0.0025, 1.3098425, (44, 55), 299, id="NGC 8x64 fp16"),
        pytest.param(1, 32, 0.0025, 0.65492125, (44, 55), 2399, id="one GPU"),
    ],
)
def test_mlperf_ssd(gpus, batch, lr, warmup_epochs, decays, warmup):
    # Iteration i of W, from 1: r - (W - i) r / (W 2^0) = r i / W. An epoch is counted as ceil(images / batch)
    # iterations; a decay epoch is the last before the decay.
    full = lr * gpus * batch / 32
    first, second = decays
    stages = {first: full, first + 1: full * 0.1, second: full * 0.1, second + 1: full * 0.01}
    expected = {}
    for epoch, iteration in places(warmup, -(-COCO // (gpus * batch)), *stages):
        expected[epoch, iteration] = stages.get(epoch, full) * min(iteration, warmup) / warmup
    recipe = Recipe(batch_size=batch, lr=lr, warmup_epochs=warmup_epochs, decay_epochs=decays)
    agrees(recipe, COCO, gpus, expected)


def test_rates_that_fujitsu_logged():
    # (epoch, iteration): rate, out of result_0.txt; the last iterations of four epochs in full precision, the
    # others to five places.
    recipe = Recipe(batch_size=114, lr=0.003157, warmup_epochs=3)
    schedule = make_schedule(recipe, COCO, processes=4)
    exact = {
        (1, 258): 0.015054099221789883,
        (2, 515): 0.03004984922178988,
        (3, 773): 0.04498725,
        (50, 12900): 0.004498725,
    }
    for place, rate in exact.items():
        assert schedule(*place) == pytest.approx(rate, rel=1e-12), place
    logged = {(1, 100): 0.00583, (1, 200): 0.01167, (2, 300): 0.01750, (2, 400): 0.02334, (2, 500): 0.02917}
    logged.update({(3, 600): 0.03501, (3, 700): 0.04084, (4, 800): 0.04499, (4, 900): 0.04499})
    for place, rate in logged.items():
        assert f"{schedule(*place):.5f}" == f"{rate:.5f}", place


@pytest.mark.parametrize(
    ("gpus", "batch", "warmup"),
    [
        pytest.param(8, 32, 4571, id="1x8x32"),
        pytest.param(16, 16, 4571, id="2x8x16"),
        pytest.param(64, 8, 2285, id="8x8x8"),
    ],
)
def test_mlperf_retinanet(gpus, batch, warmup):
    # x of W, from 0: 1e-4 (0.001 (1 - x / W) + x / W); after it 1e-4, whatever the batch, without decay.
    expected = {}
    for epoch, iteration in places(warmup, warmup, 3, 4, 5, 6):
        share = min(iteration - 1, warmup) / warmup
        expected[epoch, iteration] = 1e-4 * (0.001 * (1 - share) + share)
    recipe = Recipe(
        model="retinanet_resnext50_32x4d",
        optimizer="adam",
        lr=1e-4,
        batch_size=batch,
        warmup_epochs=1,
        warmup_start=0.001,
        decay_epochs=(),
    )
    agrees(recipe, OPENIMAGES, gpus, expected)


@pytest.mark.parametrize(
    ("gpus", "batch"),
    [
        pytest.param(4, 32, id="SSD-ResNet50 FP32 4 cards"),
        pytest.param(4, 64, id="SSD-ResNet50 AMP 4 cards"),
        pytest.param(8, 64, id="DALI example"),
    ],
)
def test_deep_learning_examples_ssd(gpus, batch):
    # i of 300, from 0: r i / 300, with r = 2.6e-3 for 32 images; a tenth after 43 epochs and again after 54.
    # (The published loop leaves the rate where its last warm-up step put it, at r 299 / 300; here it is r.)
    full = 2.6e-3 * gpus * (batch / 32)
    stages = {43: full, 44: full / 10, 54: full / 10, 55: full / 100}
    expected = {}
    for epoch, iteration in places(300, COCO // (gpus * batch), *stages):
        expected[epoch, iteration] = stages.get(epoch, full) * min(iteration - 1, 300) / 300
    recipe = Recipe(
        model="ssd_resnet50",
        lr=2.6e-3,
        batch_size=batch,
        warmup_steps=300,
        warmup_start=0.0,
        decay_epochs=(43, 54),
    )
    agrees(recipe, COCO, gpus, expected)


def test_a_warm_up_counts_the_images_that_fill_no_batch(shapes, tmp_path):
    # 10 of the 12 images have objects: 3 epochs of them are 7.5 batches of 4, though only 6 are trained on.
    recipe = Recipe(model="ssd_tiny", data=str(shapes), output=str(tmp_path), batch_size=4, warmup_epochs=3)
    training = _Training(gather(recipe, World()), RunObserver())
    assert (len(training.loader), training.schedule.warmup_steps) == (2, 7)
