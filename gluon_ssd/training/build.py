"""The parts of a training that its recipe decides: network, optimizer step, batches, schedule."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from typing import Any

import mxnet as mx
import numpy as np

from ..data.epochs import EpochLoader
from ..data.pipelines import InputSettings, make_loader
from ..data.transforms import training_transform
from ..device import target_of
from ..errors import UserError
from ..model_zoo import as_detector, get_model, model_row
from ..model_zoo.transfer import TransferReport, set_parameters, transfer
from ..nn import clip_by_convolution, compute_precision
from ..predict import Detector
from ..recipe import Recipe
from ..weights.backbones import load_backbone
from ..weights.checkpoint import PARAMETERS, TRAINED, Progress, restore_optimizer
from .callbacks.weight_average import WeightAverage, running_statistics
from .distributed import World, average_statistics
from .inputs import Inputs
from .loss_scale import LossScale
from .schedule import CosineSchedule, StepSchedule
from .step import TrainStep


@dataclass(frozen=True)
class Training:
    """The parts of a training, and its ``progress``, which changes.

    ``batches``: how many an epoch has; what is left over from whole updates is not used. ``transferred``:
    what was taken over of another training's weights. ``processes_before``: how many trained until now.
    ``average``: that of the weights, where the recipe wants one.
    """

    inputs: Inputs
    net: Any
    step: TrainStep
    loader: EpochLoader
    schedule: StepSchedule
    progress: Progress
    batches: int
    transferred: TransferReport | None
    processes_before: int
    average: WeightAverage | None = None

    @property
    def recipe(self) -> Recipe:
        """The recipe, with the places where its data set was found."""
        return self.inputs.recipe

    @property
    def world(self) -> World:
        """The processes that train together."""
        return self.inputs.world

    @property
    def out_of_steps(self) -> bool:
        """Whether ``max_steps`` are done."""
        return self.recipe.max_steps is not None and self.progress.step >= self.recipe.max_steps

    @property
    def out_of_patience(self) -> bool:
        """Whether ``patience`` evaluations in a row were no better than the best."""
        return self.recipe.patience is not None and self.progress.stale >= self.recipe.patience

    @property
    def reached_target(self) -> bool:
        """Whether an evaluation has come to ``target_map``."""
        target, best = self.recipe.target_map, self.progress.best_map
        return target is not None and best is not None and best >= target

    @property
    def ends_early(self) -> bool:
        """Whether the run is over whatever its epochs."""
        return self.out_of_steps or self.out_of_patience or self.reached_target

    def detector(self) -> Detector:
        """Returns the network as a `Detector` with the recipe's settings of evaluation."""
        recipe = self.recipe
        return Detector(
            self.net,
            recipe.score_threshold,
            recipe.iou_threshold,
            recipe.max_detections,
            nms_candidates=recipe.nms_candidates,
        )

    def average_statistics(self) -> None:
        """Gives every rank the same running statistics, and the same averages of them. Collective."""
        averages = [] if self.average is None else self.average.statistics()
        own = [parameter.data() for parameter in running_statistics(self.net).values()]
        average_statistics(self.world, [*own, *averages])

    def statistics(self) -> dict[str, np.ndarray]:
        """Returns this rank's running statistics, and its averages of them, as a checkpoint names them."""
        own = running_statistics(self.net)
        group = PARAMETERS if self.average is None else TRAINED
        found = {group + name: value.data().asnumpy() for name, value in own.items()}
        averages = [] if self.average is None else self.average.statistics()
        found.update({PARAMETERS + name: value.asnumpy() for name, value in zip(own, averages)})
        return found

    def averaged(self) -> AbstractContextManager[None]:
        """Returns a block in which the network computes with averaged weights, where there are any."""
        return nullcontext() if self.average is None else self.average.in_use()


def build_training(inputs: Inputs) -> Training:
    """Builds the training that ``inputs`` are for, at the place where it goes on. Raises UserError."""
    recipe, resumed, processes = inputs.recipe, inputs.resumed, inputs.world.size
    net, transferred = make_net(inputs)
    progress = Progress(recipe.start_epoch, processes=processes) if resumed is None else resumed.progress
    processes_before = progress.processes
    step = make_step(inputs, net)
    loader = training_loader(inputs, net)
    batches = len(loader) // recipe.accumulate * recipe.accumulate
    if resumed is None:
        # The epochs before a late first one count as trained, so that its warm-up is over.
        progress.step = progress.evaluated = (recipe.start_epoch - 1) * batches // recipe.accumulate
    # The place in the run, in steps of the size that they have now; that of a resumed run may be another.
    place = ((progress.epoch - 1) * batches + progress.batch) // recipe.accumulate
    schedule = make_schedule(recipe, inputs.train_images, processes, place - progress.step)
    average = None
    if recipe.ema is not None:
        start = resumed.parameters if resumed is not None and resumed.trained else {}
        average = WeightAverage(net, recipe.ema, start)
    return Training(
        inputs, net, step, loader, schedule, progress, batches, transferred, processes_before, average
    )


def make_net(inputs: Inputs) -> tuple[Any, TransferReport | None]:
    """Returns the network with its first weights, and what it took over of another's. Raises UserError."""
    recipe, resumed, start_from = inputs.recipe, inputs.resumed, inputs.start_from
    # The first weights follow from the recipe alone, whatever was drawn before.
    mx.random.seed(recipe.seed)
    options = {**model_options(recipe), "bn_group": inputs.world.norm_group(recipe.bn_group)}
    source = resumed or start_from
    # Norms whose weights were trained with another epsilon keep it.
    if source is not None and "norm_epsilon" in source.options:
        options["norm_epsilon"] = source.options["norm_epsilon"]
    net = as_detector(get_model(recipe.model, inputs.train_set.classes, ctx=inputs.device, **options))
    # Checkpoints keep them, so that detections can be written with the ids of the annotation file.
    net.category_ids = inputs.train_set.category_ids
    net.freeze(recipe.freeze)
    net.backbone.collect_params().setattr("lr_mult", recipe.backbone_lr_factor)
    report = None
    if resumed is not None:
        set_parameters(net, {**resumed.parameters, **resumed.trained}, str(resumed.path))
    elif start_from is not None:
        report = transfer(net, start_from.parameters, start_from.classes)
    elif inputs.backbone is not None:
        load_backbone(net, inputs.backbone)
    # Parameters stay in float32; the layers cast what they compute with.
    if recipe.precision == "amp":
        compute_precision(net, _low_precision(inputs))
    elif inputs.device.device_type == "cpu" and (net.layout, net.dtype) == ("NCHW", "float32"):
        clip_by_convolution(net)
    _start_alike(inputs, net)
    return net, report


def _start_alike(inputs: Inputs, net: Any) -> None:
    """Gives every rank the weights of rank 0, except where a run goes on, and random numbers of its own."""
    world = inputs.world
    if world.size > 1:
        if inputs.resumed is None:
            parameters = net.collect_params()
            world.broadcast([parameter.data() for parameter in parameters.values()], list(parameters))
        mx.random.seed(world.seed(inputs.recipe.seed))


def model_options(recipe: Recipe) -> dict[str, Any]:
    """Returns the keywords for `get_model` that the recipe's model keys stand for."""
    dtype = "float16" if recipe.precision == "fp16" else "float32"
    options: dict[str, Any] = {"layout": recipe.layout, "dtype": dtype, "bn_fp16": recipe.bn_fp16}
    for name in ("backbone", "trainable_layers", "input_size"):
        if getattr(recipe, name) is not None:
            options[name] = getattr(recipe, name)
    return options


def make_step(inputs: Inputs, net: Any) -> TrainStep:
    """Returns what trains ``net``, with the optimizer's state of a resumed run. Raises UserError."""
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


def make_schedule(recipe: Recipe, images: int, processes: int = 1, shift: int = 0) -> StepSchedule:
    """Returns the learning rate of every step of a training whose epochs have ``images``.

    Those are the images of all processes, as published, not only those that fill batches. ``shift``: as in
    `StepSchedule`.
    """
    warmup = recipe.warmup_steps
    if warmup is None:
        # Rounded down, as the published trainings do.
        warmup = int(recipe.warmup_epochs * images / recipe.global_batch(processes))
    lr, factor, start = recipe.effective_lr(processes), recipe.warmup_factor, recipe.warmup_start
    if recipe.lr_schedule == "cosine":
        steps = recipe.epochs * (images // recipe.global_batch(processes))
        return CosineSchedule(lr, warmup, factor, warmup_start=start, total_steps=steps, shift=shift)
    return StepSchedule(lr, warmup, factor, recipe.decay_epochs, recipe.decay_factor, start, shift)


def _low_precision(inputs: Inputs) -> str:
    return "bfloat16" if inputs.device.device_type == "cpu" else "float16"


def _loss_scale(inputs: Inputs) -> LossScale | None:
    """Returns the loss scale where gradients are float16, else None: bfloat16 has float32's range."""
    recipe, resumed = inputs.recipe, inputs.resumed
    half = recipe.precision == "fp16" or (recipe.precision == "amp" and _low_precision(inputs) == "float16")
    if not half:
        return None
    scale = LossScale(**(resumed.progress.loss_scale if resumed is not None else {}))
    scale.dynamic = recipe.dynamic_loss_scale
    # A dynamic scale goes on with the value that the run has found.
    if not (resumed and recipe.dynamic_loss_scale):
        scale.value = recipe.loss_scale
    return scale


def augmentation(recipe: Recipe) -> str:
    """Returns the name of the augmentation that ``recipe`` asks for, or that its model has by default."""
    return recipe.augment or model_row(recipe.model).default_augment


def input_settings(recipe: Recipe) -> InputSettings:
    """Returns the keys of ``recipe`` that say how images reach the network."""
    return InputSettings(**{item.name: getattr(recipe, item.name) for item in fields(InputSettings)})


def training_loader(inputs: Inputs, net: Any) -> EpochLoader:
    """Returns the batches that ``net`` trains on. Raises UserError when there are too few for one update."""
    recipe, train_set = inputs.recipe, inputs.train_set
    loader = make_loader(
        train_set,
        training_transform(augmentation(recipe), net.preprocess, recipe.colour),
        recipe.batch_size,
        input_settings(recipe),
        target_of(inputs.device, net),
        shuffle=True,
        seed=recipe.seed,
        drop_last=True,
        skip_empty=True,
        encoder=net.target_encoder(net.input_size),
        indices=range(len(train_set))[: recipe.limit_train],
        shard=(inputs.world.rank, inputs.world.size),
    )
    if len(loader) < recipe.accumulate:
        raise UserError(
            f"an epoch has {len(loader)} batches, fewer than accumulate ({recipe.accumulate}); "
            "use a smaller batch size or less accumulation"
        )
    resumed = inputs.resumed
    if resumed is None:
        return loader
    _share_position(resumed.progress, recipe, inputs.world.size)
    batches = len(loader) // recipe.accumulate * recipe.accumulate
    if resumed.progress.batch > batches:
        raise UserError(
            f"{resumed.path}: stands at batch {resumed.progress.batch} of an epoch that now has "
            f"{batches}; {train_set.annotation} is not what it was trained on"
        )
    return loader


def _share_position(progress: Progress, recipe: Recipe, processes: int) -> None:
    """Counts the epoch's images so far in batches of another number of processes.

    Together, the ranks go through an epoch's order from its start without gaps. Where that place is not
    between two updates of the new size, it is the one before: less than an update's images are seen twice.
    """
    if progress.processes != processes:
        images = progress.batch * recipe.batch_size * progress.processes
        progress.batch = images // recipe.global_batch(processes) * recipe.accumulate
        progress.processes = processes
