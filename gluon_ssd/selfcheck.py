"""A quick proof that a network of the zoo works on this machine: forward, and one training step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from .model_zoo import DetectionNetwork, as_detector, get_model


@dataclass(frozen=True)
class SelfCheck:
    """Times in milliseconds, the loss of the one step, and what went wrong (None: nothing)."""

    model: str
    forward_ms: float
    step_ms: float
    loss: float
    problem: str | None


def run_selfcheck(model: str = "ssd_tiny", batch_size: int = 2, seed: int = 0, **options: Any) -> SelfCheck:
    """Builds ``model``, detects on random images and trains one step on random objects, all from ``seed``.

    ``options`` are those of the model, for `get_model`. Raises UserError for an unknown model and a backbone.
    """
    mx.random.seed(seed)
    random = np.random.RandomState(seed)
    net = as_detector(get_model(model, **options))
    net.hybridize()
    height, width = net.input_size
    images = mx.nd.array(random.randn(batch_size, 3, height, width))
    # MXNet works asynchronously; without waiting, the clock would start before the images are there.
    mx.nd.waitall()

    start = time.perf_counter()
    outputs = net(images)
    mx.nd.waitall()
    forward_ms = 1000 * (time.perf_counter() - start)
    problem = _output_problem(net, outputs)

    start = time.perf_counter()
    losses = _train_step(net, images, random)
    step_ms = 1000 * (time.perf_counter() - start)
    names, loss = ("loss", *net.loss().part_names), losses[0]
    if len(losses) != len(names):
        problem = problem or f"the loss gives {len(losses)} numbers, named are {', '.join(names)}"
    elif not np.isfinite(losses).all():
        problem = problem or f"the loss of one training step is {loss}"
    return SelfCheck(model, forward_ms, step_ms, loss, problem)


def _output_problem(net: DetectionNetwork, outputs: Sequence[mx.nd.NDArray]) -> str | None:
    """What is wrong with the outputs of the network and of its post-processing; None if nothing is."""
    if len(outputs) != len(net.output_names):
        return f"the network has {len(outputs)} outputs, expected {', '.join(net.output_names)}"
    places = len(net.anchors(*net.input_size))
    for name, array in zip(net.output_names, outputs):
        if array.ndim != 3 or array.shape[1] != places:
            return f"{name} has shape {array.shape}, expected a row for each of {places} anchors"
        if not np.isfinite(array.asnumpy()).all():
            return f"{name} is not finite"
    found = net.postprocess(max_detections=10)
    found.initialize()
    shapes = [array.shape for array in found(*outputs)]
    if shapes != [(len(outputs[0]), 10), (len(outputs[0]), 10), (len(outputs[0]), 10, 4)]:
        return f"post-processing gives shapes {shapes} for 10 detections per image"
    return None


def _train_step(net: DetectionNetwork, images: mx.nd.NDArray, random: np.random.RandomState) -> list[float]:
    """Makes one SGD step on one random object per image; returns the losses with the new weights."""
    corners = random.uniform(0.1, 0.4, (len(images), 1, 2))
    boxes = np.concatenate([corners, corners + 0.4], axis=2).astype(np.float32)
    labels = random.randint(len(net.classes), size=(len(images), 1)).astype(np.int32)
    targets = [mx.nd.array(target) for target in net.target_encoder()(boxes, labels)]
    loss_of = net.loss()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1e-3, "momentum": 0.9})
    with autograd.record():
        loss = loss_of(*net(images), *targets)[0]
    loss.backward()
    trainer.step(1)
    # Recorded again, so that batch norm works as in training; the new weights tell whether the step made them
    # NaN.
    with autograd.record():
        return [float(loss.asscalar()) for loss in loss_of(*net(images), *targets)]
