"""The parts of a training that its recipe decides: network, optimizer step, schedule."""

from __future__ import annotations

from typing import Any

import mxnet as mx

from ..model_zoo import as_detector, get_model
from ..model_zoo.transfer import TransferReport, set_parameters, transfer
from ..nn import clip_by_convolution, compute_precision
from ..recipe import Recipe
from ..weights.backbones import load_backbone
from ..weights.checkpoint import restore_optimizer
from .loss_scale import LossScale
from .schedule import StepSchedule
from .setup import Inputs
from .step import TrainStep


def make_net(inputs: Inputs) -> tuple[Any, TransferReport | None]:
    """The network with the weights it starts from, and what of another's it took over. Raises UserError."""
    recipe, resumed, start_from = inputs.recipe, inputs.resumed, inputs.start_from
    mx.random.seed(recipe.seed)
    options = {**model_options(recipe), "bn_group": inputs.world.norm_group(recipe.bn_group)}
    source = resumed or start_from
    if source is not None and "norm_epsilon" in source.options:
        options["norm_epsilon"] = source.options["norm_epsilon"]
    net = as_detector(get_model(recipe.model, inputs.train_set.classes, ctx=inputs.device, **options))
    net.category_ids = inputs.train_set.category_ids
    net.freeze(recipe.freeze)
    report = None
    if resumed is not None:
        set_parameters(net, resumed.parameters, str(resumed.path))
    elif start_from is not None:
        report = transfer(net, start_from.parameters, start_from.classes)
    elif inputs.backbone is not None:
        load_backbone(net, inputs.backbone)
    if recipe.precision == "amp":
        compute_precision(net, _low_precision(inputs))
    elif inputs.device.device_type == "cpu" and (net.layout, net.dtype) == ("NCHW", "float32"):
        clip_by_convolution(net)
    _start_alike(inputs, net)
    return net, report


def _start_alike(inputs: Inputs, net: Any) -> None:
    """Rank 0's weights on every rank, and random numbers of its own on each."""
    world = inputs.world
    if world.size > 1:
        parameters = net.collect_params()
        world.broadcast([parameter.data() for parameter in parameters.values()], list(parameters))
        mx.random.seed(world.seed(inputs.recipe.seed))


def model_options(recipe: Recipe) -> dict[str, Any]:
    """What the recipe's model keys are called in `get_model`."""
    dtype = "float16" if recipe.precision == "fp16" else "float32"
    options: dict[str, Any] = {"layout": recipe.layout, "dtype": dtype, "bn_fp16": recipe.bn_fp16}
    for name in ("backbone", "trainable_layers", "input_size"):
        if getattr(recipe, name) is not None:
            options[name] = getattr(recipe, name)
    return options


def make_step(inputs: Inputs, net: Any) -> TrainStep:
    """What trains ``net``, with the optimizer's state of a resumed run. Raises UserError."""
    recipe, resumed = inputs.recipe, inputs.resumed
    step = TrainStep(
        net,
        net.loss(),
        optimizer=recipe.optimizer,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        decay_norms=recipe.decay_on == "all",
        accumulate=recipe.accumulate,
        scale=_loss_scale(inputs),
        # Only the native loader leaves it to the network to arrange the images.
        arranged=recipe.data_pipeline != "native",
        world=inputs.world,
        compression=recipe.compression,
        groups=recipe.num_groups,
        predivide=recipe.gradient_predivide,
    )
    if resumed is not None:
        restore_optimizer(step.trainer, resumed)
    return step


def make_schedule(recipe: Recipe, images: int, processes: int = 1) -> StepSchedule:
    """The learning rate of every step of a training whose epochs have ``images``.

    Those are the images of all processes, as published, not only those that fill batches.
    """
    warmup = recipe.warmup_steps
    if warmup is None:
        warmup = int(recipe.warmup_epochs * images / recipe.global_batch(processes))
    return StepSchedule(
        recipe.effective_lr(processes),
        warmup,
        recipe.warmup_factor,
        recipe.decay_epochs,
        recipe.decay_factor,
        recipe.warmup_start,
    )


def _low_precision(inputs: Inputs) -> str:
    return "bfloat16" if inputs.device.device_type == "cpu" else "float16"


def _loss_scale(inputs: Inputs) -> LossScale | None:
    """For gradients in float16 only: bfloat16 has float32's range."""
    recipe, resumed = inputs.recipe, inputs.resumed
    half = recipe.precision == "fp16" or (recipe.precision == "amp" and _low_precision(inputs) == "float16")
    if not half:
        return None
    scale = LossScale(**(resumed.progress.loss_scale if resumed is not None else {}))
    scale.dynamic = recipe.dynamic_loss_scale
    if not (resumed and recipe.dynamic_loss_scale):
        scale.value = recipe.loss_scale
    return scale
