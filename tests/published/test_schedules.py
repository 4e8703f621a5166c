"""The learning rate of the published configurations, step by step, as their scripts train them.

The expected rates are worked out here from the published formulas, without any code of the package: NVIDIA's
and Fujitsu's MXNet SSD of MLPerf Training 1.1, MLPerf's RetinaNet reference, DeepLearningExamples' SSD and
the DALI example. That the configurations of scripts/train/configs agree with the scripts is tested beside.
"""

import pytest
from dry_run import recipe_of, split, words

from gluon_ssd.recipe import Recipe
from gluon_ssd.training.build import build_training, make_schedule
from gluon_ssd.training.distributed import World
from gluon_ssd.training.inputs import open_inputs

from .conftest import FOLDER

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


def agrees(shell, script, images, processes, expected):
    _, arguments = split(words(shell(f'"$TRAIN/{script}.sh" --dry-run')))
    schedule = make_schedule(recipe_of(arguments), images, processes)
    assert len(expected) == 20
    for (epoch, iteration), rate in expected.items():
        assert schedule(epoch, iteration) == pytest.approx(rate, rel=1e-12), (epoch, iteration)


@pytest.mark.parametrize(
    ("script", "gpus", "batch", "lr", "decays", "warmup"),
    [
        # Warm-up of 0.655 epochs: the 300 iterations of MLPerf's reference, at its 256 images.
        ("ssd_resnet34_1gpu_amp", 1, 32, 0.0025, (44, 55), 2400),
        ("ssd_resnet34_1gpu_fp16", 1, 32, 0.0025, (44, 55), 2400),
        ("ssd_resnet34_8gpu_amp", 8, 32, 0.0025, (44, 55), 300),
        ("ssd_resnet34_8gpu_fp16", 8, 32, 0.0025, (44, 55), 300),
        ("ssd_resnet34_8gpu_fp16_bn_group", 8, 8, 0.0025, (44, 55), 1200),
        ("ssd_resnet34_16gpu_amp", 16, 32, 0.0025, (44, 55), 150),
        ("ssd_resnet34_16gpu_fp16", 16, 32, 0.0025, (44, 55), 150),
        ("ssd_resnet34_16gpu_fp16_bn_group", 16, 8, 0.0025, (44, 55), 600),
        # Of 5, 15, 35 and 3 epochs, as published.
        ("ssd_resnet34_dgxa100_1x8x114", 8, 114, 0.003157, (44, 55), 642),
        ("ssd_resnet34_dgxa100_1x4x228", 4, 228, 0.003157, (44, 55), 642),
        ("ssd_resnet34_dgxa100_8x8x24x2", 64, 24, 0.004, (48, 60), 1145),
        ("ssd_resnet34_dgxa100_128x8x3x8", 1024, 3, 0.004, (68, 85), 1336),
        ("ssd_resnet34_fujitsu_pg_1x4x114", 4, 114, 0.003157, (44, 55), 771),
    ],
)
def test_mlperf_ssd(shell, script, gpus, batch, lr, decays, warmup):
    # Iteration i of W, from 1: r - (W - i) r / (W 2^0) = r i / W. An epoch is counted as ceil(images / batch)
    # iterations; a decay epoch is the last before the decay.
    full = lr * gpus * batch / 32
    first, second = decays
    stages = {first: full, first + 1: full * 0.1, second: full * 0.1, second + 1: full * 0.01}
    expected = {}
    for epoch, iteration in places(warmup, -(-COCO // (gpus * batch)), *stages):
        expected[epoch, iteration] = stages.get(epoch, full) * min(iteration, warmup) / warmup
    agrees(shell, script, COCO, gpus, expected)


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
    ("script", "gpus", "batch", "lr", "warmup"),
    [
        ("retinanet_2x8x16", 16, 16, 1e-4, 4571),
        ("retinanet_8x8x8", 64, 8, 1e-4, 2285),
        ("retinanet_8x8x4", 64, 4, 1e-4, 4571),
        ("retinanet_160x8x1", 1280, 1, 1.2e-4, 914),
        ("retinanet_316x8x1", 2528, 1, 1.35e-4, 462),
    ],
)
def test_mlperf_retinanet(shell, script, gpus, batch, lr, warmup):
    # x of W, from 0: r (0.001 (1 - x / W) + x / W); after it r, whatever the batch, without decay.
    expected = {}
    for epoch, iteration in places(warmup, warmup, 3, 4, 5, 6):
        share = min(iteration - 1, warmup) / warmup
        expected[epoch, iteration] = lr * (0.001 * (1 - share) + share)
    agrees(shell, script, OPENIMAGES, gpus, expected)


def test_nvidias_retinanet_on_one_host_has_no_warm_up(shell):
    expected = dict.fromkeys(places(4571, 4571, 3, 4, 5, 6), 8.5e-5)
    agrees(shell, "retinanet_1x8x32", OPENIMAGES, 8, expected)


@pytest.mark.parametrize(
    ("script", "gpus", "batch"),
    [
        ("ssd_resnet50_4gpu_fp32_65epochs", 4, 32),
        ("ssd_resnet50_4gpu_amp_65epochs", 4, 32),
        ("ssd_resnet50_8gpu_dali_fp16", 8, 64),
    ],
)
def test_deep_learning_examples_ssd(shell, script, gpus, batch):
    # i of 300, from 0: r i / 300, with r = 2.6e-3 for 32 images; a tenth after 43 epochs and again after 54.
    # (The published loop leaves the rate where its last warm-up step put it, at r 299 / 300; here it is r.)
    full = 2.6e-3 * gpus * (batch / 32)
    stages = {43: full, 44: full / 10, 54: full / 10, 55: full / 100}
    expected = {}
    for epoch, iteration in places(300, COCO // (gpus * batch), *stages):
        expected[epoch, iteration] = stages.get(epoch, full) * min(iteration - 1, 300) / 300
    agrees(shell, script, COCO, gpus, expected)


def test_every_training_script_is_here():
    rows = [
        mark.args[1]
        for test in (test_mlperf_ssd, test_mlperf_retinanet, test_deep_learning_examples_ssd)
        for mark in test.pytestmark
    ]
    tested = {row[0] for found in rows for row in found} | {"retinanet_1x8x32"}
    assert tested == {path.stem for path in FOLDER.glob("*_*gpu_*.sh")} | {
        path.stem for path in FOLDER.glob("*_*x*x*.sh")
    }


def test_a_warm_up_counts_the_images_that_fill_no_batch(shapes, tmp_path):
    # 10 of the 12 images have objects: 3 epochs of them are 7.5 batches of 4, though only 6 are trained on.
    recipe = Recipe(model="ssd_tiny", data=str(shapes), output=str(tmp_path), batch_size=4, warmup_epochs=3)
    training = build_training(open_inputs(recipe, World()))
    assert (len(training.loader), training.schedule.warmup_steps) == (2, 7)
