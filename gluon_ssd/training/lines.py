"""What a training says of itself, as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..console import duration, memory_gib
from ..model_zoo.transfer import TransferReport
from ..recipe import Recipe
from ..weights.checkpoint import Progress
from .loss_scale import LossScale
from .plan import plan_lines
from .ranks import describe_ranks
from .setup import Inputs

# Waiting for input that is worth a word: this share of an epoch.
_INPUT_BOUND = 0.2


def opening_lines(
    inputs: Inputs,
    run_dir: Path,
    transferred: TransferReport | None,
    progress: Progress,
    processes_before: int,
) -> list[str]:
    """What is trained on what. Collective.

    ``processes_before``: how many trained until now.
    """
    recipe, train_set, world = inputs.recipe, inputs.train_set, inputs.world
    lines = [
        f"{recipe.model}, {len(train_set.classes)} classes, {recipe.precision} on {inputs.device}",
        *_image_lines(inputs),
        f"run folder {run_dir}",
        *describe_ranks(world, recipe),
    ]
    lines += inputs.data_lines()
    lines += plan_lines(recipe, inputs.train_images // recipe.global_batch(world.size))
    if transferred is not None and inputs.start_from is not None:
        lines += [f"weights from {inputs.start_from.path}:", *transferred.lines()]
    if inputs.resumed is not None:
        lines.append(f"resumed at epoch {progress.epoch}, step {progress.step}")
        if processes_before != world.size:
            now = f"{world.size} processes go" if world.size > 1 else "one process goes"
            had = f"{processes_before} have" if processes_before > 1 else "one has"
            lines.append(f"{now} on with what {had} begun")
    return lines


def _image_lines(inputs: Inputs) -> list[str]:
    """How many images are trained on, and why it is not all of them."""
    recipe, train_set, images = inputs.recipe, inputs.train_set, inputs.train_images
    chosen = len(train_set.records[: recipe.limit_train])
    text = f"training on {images} images"
    if chosen < len(train_set):
        text += f" (limit_train: the first {chosen} of {len(train_set)})"
    notes = {"images without objects": chosen - images, "unusable boxes": sum(train_set.dropped.values())}
    lines = [text + "".join(f"; {count} {what} are left out" for what, count in notes.items() if count)]
    batch = recipe.global_batch(inputs.world.size)
    if images % batch:
        name = "batch" if batch == recipe.batch_size else "global batch"
        lines.append(
            f"{images - images % batch} images in each epoch: the last {name} of {batch} is not full and is "
            "left out; the order is new in each epoch, so that every image has its turn"
        )
    return lines


def epoch_lines(
    recipe: Recipe, epoch: int, values: Mapping[str, float], scale: LossScale | None
) -> list[str]:
    """An epoch that has ended: a row of metrics.csv, and what it asks the user to look at."""
    losses = "  ".join(
        f"{name.replace('_loss', '')} {values[name]:.3f}" for name in values if name.endswith("loss")
    )
    lines = [
        f"epoch {epoch}/{recipe.epochs}  {losses}  lr {values['lr']:.3g}  "
        f"images/s {values['images_per_second']:.1f}  mem {memory_gib():.1f}G  "
        f"time {duration(values['seconds'])}"
    ]
    if scale is not None and scale.skipped:
        lines.append(f"{scale.skipped} steps skipped so far for overflow; loss scale {scale.value:g}")
    if values["wait_share"] > _INPUT_BOUND:
        flag = "--dali-workers" if recipe.data_pipeline == "dali" else "--workers"
        lines.append(
            f"input bound: {values['wait_share']:.0%} of the epoch was spent waiting for images; more {flag}?"
        )
    return lines
