"""Images per second of training and inference, as a table."""

import time

import mxnet as mx
import numpy as np
import pytest

from gluon_ssd import get_model
from gluon_ssd.nn import compute_precision
from gluon_ssd.training.loss_scale import LossScale
from gluon_ssd.training.step import TrainStep

from .conftest import WAYS


def seconds(work, rounds):
    """Median of ``rounds`` calls, after one that compiles."""
    spent = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        mx.nd.waitall()
        spent.append(time.perf_counter() - start)
    return float(np.median(spent[1:]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["ssd_resnet34", "retinanet_resnext50_32x4d"])
def test_speed(device, name, way):
    options, mixed, _ = WAYS[way]
    on_gpu = device.device_type == "gpu"
    batch, rounds = (32 if name.startswith("ssd") else 4, 10) if on_gpu else (1, 1)
    if not on_gpu and name.startswith("retinanet"):
        options = {**options, "input_size": (128, 128)}
    net = get_model(name, ctx=device, **options)
    if mixed:
        compute_precision(net, "float16" if on_gpu else "bfloat16")
    height, width = net.input_size
    images = mx.nd.random.uniform(-2, 2, (batch, 3, height, width), ctx=device)
    random = np.random.RandomState(0)
    corners = random.uniform(0, 0.5, (batch, 7, 2))
    boxes = np.concatenate([corners, corners + 0.4], 2).astype(np.float32)
    targets = net.target_encoder(net.input_size)(boxes, random.randint(0, len(net.classes), (batch, 7)))
    targets = [mx.nd.array(target, ctx=device) for target in targets]
    scale = LossScale(128.0) if way != "fp32" else None
    step = TrainStep(net, net.loss(), scale=scale)
    training = seconds(lambda: step(images, targets, 1e-6), rounds)
    net.hybridize(static_alloc=True)
    inference = seconds(lambda: net(net.arrange(images)), rounds)
    rates = f"{batch / training:.1f} images/s in training, {batch / inference:.1f} in inference"
    print(f"SPEED {name} {way} batch {batch}: {rates}")
