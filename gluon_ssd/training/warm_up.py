"""Work on made-up images before a run, so that its clock does not count what only a first step takes."""

from __future__ import annotations

import gc
from dataclasses import replace

import mxnet as mx

from ..data.pipelines import InputSettings, make_loader
from ..data.transforms import EvalTransform
from ..device import images_on, target_of
from .build import Training, build_training
from .inputs import Inputs


def warm_up(inputs: Inputs) -> None:
    """Trains a network like that of ``inputs`` for ``model_warmup`` steps, and evaluates a batch. Collective.

    The network is thrown away: the run that is built afterwards has its weights, random numbers and order of
    images as if nothing had been before. What stays is what MXNet, the device's libraries and Horovod keep in
    this process: chosen algorithms, memory, connections.
    """
    recipe = replace(inputs.recipe, data_pipeline="synthetic")
    training = build_training(replace(inputs, recipe=recipe, resumed=None, start_from=None, backbone=None))
    batch = next(iter(training.loader))
    targets = [mx.nd.array(target, ctx=training.inputs.device) for target in batch.targets]
    for _ in range(recipe.model_warmup * recipe.accumulate):
        # At rate 0 random weights cannot diverge.
        training.step(images_on(training.inputs.device, batch), targets, lr=0.0)
    if inputs.val_set is not None:
        _detect(training)
    mx.nd.waitall()
    del training
    # Blocks and their children know each other; their memory is wanted for the run.
    gc.collect()


def _detect(training: Training) -> None:
    """Detects objects in one batch of an evaluation."""
    recipe, net = training.recipe, training.net
    settings, target = InputSettings(data_pipeline="synthetic"), target_of(training.inputs.device, net)
    records, size = training.inputs.train_set, recipe.eval_batch_size
    batch = next(iter(make_loader(records, EvalTransform(net.preprocess), size, settings, target)))
    training.detector().detect_batch(images_on(training.inputs.device, batch), batch.layout)
