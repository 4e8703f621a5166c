"""A quick proof that a network of the zoo works on this machine: forward, and one training step."""

from __future__ import annotations

import time
from dataclasses import dataclass

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from .model_zoo import get_model


@dataclass(frozen=True)
class SelfCheck:
    """Times in milliseconds, the loss of the one step, and what went wrong (None: nothing)."""

    model: str
    forward_ms: float
    step_ms: float
    loss: float
    problem: str | None


def run_selfcheck(model: str = "ssd_tiny", batch_size: int = 2, seed: int = 0) -> SelfCheck:
    """Build ``model``, detect on random images, train one step on random objects, all from ``seed``."""
    mx.random.seed(seed)
    random = np.random.RandomState(seed)
    net = get_model(model)
    net.hybridize()
    height, width = net.input_size
    images = mx.nd.array(random.randn(batch_size, 3, height, width))
    mx.nd.waitall()

    start = time.perf_counter()
    cls_preds, box_preds = net(images)
    mx.nd.waitall()
    forward_ms = 1000 * (time.perf_counter() - start)
    problem = _shape_problem(cls_preds, box_preds, (batch_size, len(net.anchors), len(net.classes) + 1))

    start = time.perf_counter()
    loss = _train_step(net, images, random)
    step_ms = 1000 * (time.perf_counter() - start)
    if problem is None and not np.isfinite(loss):
        problem = f"the loss of one training step is {loss}"
    return SelfCheck(model, forward_ms, step_ms, loss, problem)


def _shape_problem(
    cls_preds: mx.nd.NDArray, box_preds: mx.nd.NDArray, shape: tuple[int, int, int]
) -> str | None:
    batch, anchors, channels = shape
    for name, array, wanted in (
        ("cls_preds", cls_preds, (batch, anchors, channels)),
        ("box_preds", box_preds, (batch, anchors, 4)),
    ):
        if array.shape != wanted:
            return f"{name} has shape {array.shape}, expected {wanted}"
        if not np.isfinite(array.asnumpy()).all():
            return f"{name} is not finite"
    return None


def _train_step(net: gluon.HybridBlock, images: mx.nd.NDArray, random: np.random.RandomState) -> float:
    """One SGD step on one random object per image; returns the loss after it, which saw the new weights."""
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
    with autograd.record():
        return float(loss_of(*net(images), *targets)[0].asscalar())
