"""What a training says on the console and in train.log."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...console import Console, duration, memory_gib
from ...machine import SHARED_ADVICE, OtherPrograms
from ...recipe import Recipe
from ..build import Training
from ..coco_eval import score_table
from ..distributed import World, mean_over_ranks
from ..inputs import Inputs
from ..loss_scale import LossScale
from ..plan import plan_lines
from .base import Callback, RunInfo, TrainBatch

if TYPE_CHECKING:
    from ..coco_eval import Scores

# Waiting for input that is worth a word: this share of an epoch.
_INPUT_BOUND = 0.2


class ConsoleReport(Callback):
    """Tells on ``console`` what ``training`` does. Collective: rank 0 alone speaks, of the means of all."""

    def __init__(self, training: Training, console: Console) -> None:
        self._training, self._console = training, console
        self._others, self._told = OtherPrograms(), False

    def started(self, info: RunInfo) -> None:
        self._first_step, self._began = info.progress.step, time.perf_counter()
        self._training.loader.tell_skipped(self._console.say)
        for line in opening_lines(self._training, info):
            self._console.say(line)

    def epoch_started(self, epoch: int) -> None:
        training = self._training
        title = f"epoch {epoch}/{training.recipe.epochs}"
        self._console.start(title, training.batches, training.progress.batch)
        self._others = OtherPrograms()

    def batch_ended(self, batch: TrainBatch, values: Mapping[str, float]) -> None:
        training, done, rate = self._training, batch.number + 1, values["images_per_second"]
        # The first has no loss to show yet; the epoch's last is told by `epoch_ended`.
        show = done % training.recipe.log_every == 0 and rate > 0 and done < training.batches
        means = {name: values[name] for name in training.step.loss_names if name in values}
        # The ranks talk to each other, so not at every batch.
        if show:
            means = mean_over_ranks(training.world, means)
        shown = {name.replace("_loss", ""): f"{value:.3f}" for name, value in means.items()}
        shown["lr"] = f"{values['lr']:.3g}"
        if rate:
            shown["images/s"] = f"{rate:.1f}"
        shown["mem"] = f"{memory_gib():.1f}G"
        self._console.step(done, shown, show, self._left())

    def epoch_ended(self, epoch: int, values: Mapping[str, float]) -> None:
        self._console.stop()
        scale = self._training.step.scale
        for line in epoch_lines(self._training.recipe, epoch, values, scale, self._left()):
            self._console.say(line)
        self._tell_sharing(epoch)

    def _left(self) -> float | None:
        """Returns the seconds until the last step at the pace so far, evaluations included; None: unknown."""
        recipe, step = self._training.recipe, self._training.progress.step
        steps = recipe.epochs * self._training.batches // recipe.accumulate
        steps = min(steps, recipe.max_steps or steps)
        done = step - self._first_step
        return (time.perf_counter() - self._began) / done * max(steps - step, 0) if done > 0 else None

    def _tell_sharing(self, epoch: int) -> None:
        """Says once in a run that others use this machine. Other ranks' time is not the trouble."""
        if self._told or self._training.world.size > 1:
            return
        warning = self._others.warning()
        if warning is not None:
            self._console.say(f"epoch {epoch}: {warning}; {SHARED_ADVICE}")
            self._told = True

    def scored(self, epoch: int, scores: Scores) -> None:
        training, progress = self._training, self._training.progress
        numbers = f"mAP {scores.map:.4f}, AP50 {scores.stats['ap50']:.4f}"
        self._console.say(f"epoch {epoch}: {numbers} on {scores.images} images")
        # The last evaluation is told in full.
        at_the_end = training.out_of_steps and progress.evaluated == progress.step
        if epoch >= training.recipe.epochs or at_the_end:
            self._console.say(score_table(scores))

    def ended(self, reached: bool) -> None:
        progress = self._training.progress
        if reached:
            target = self._training.recipe.target_map
            self._console.say(f"reached the target mAP {target} in epoch {progress.best_epoch}")
        elif self._training.out_of_patience:
            self._console.say(
                f"no better mAP in {progress.stale} evaluations in a row (patience "
                f"{self._training.recipe.patience}); the best is that of epoch {progress.best_epoch}"
            )
        elif progress.step == self._first_step:
            self._console.say(f"nothing left to train; the run ended at step {progress.step}")

    def close(self) -> None:
        self._console.close()


def opening_lines(training: Training, info: RunInfo) -> list[str]:
    """Returns what is trained on what. Collective."""
    inputs, recipe, world = training.inputs, training.recipe, training.world
    lines = [
        f"{recipe.model}, {len(inputs.train_set.classes)} classes, {recipe.precision} on {inputs.device}",
        *_image_lines(inputs),
        f"run folder {info.run_dir}",
        *_rank_lines(world, recipe),
        *inputs.data_lines(),
        *plan_lines(recipe, inputs.train_images // recipe.global_batch(world.size)),
    ]
    if training.transferred is not None and inputs.start_from is not None:
        lines += [f"weights from {inputs.start_from.path}:", *training.transferred.lines()]
    if inputs.resumed is not None:
        lines.append(f"resumed at epoch {info.progress.epoch}, step {info.progress.step}")
        before = training.processes_before
        if before != world.size:
            now = f"{world.size} processes go" if world.size > 1 else "one process goes"
            had = f"{before} have" if before > 1 else "one has"
            lines.append(f"{now} on with what {had} begun")
    return lines


def _image_lines(inputs: Inputs) -> list[str]:
    """Returns how many images are trained on, and why it is not all of them."""
    recipe, train_set, images = inputs.recipe, inputs.train_set, inputs.train_images
    chosen = len(train_set.records[: recipe.limit_train])
    text = f"training on {images} images"
    if chosen < len(train_set):
        text += f" (limit_train: the first {chosen} of {len(train_set)})"
    notes = {"images without objects": chosen - images, "unusable boxes": sum(train_set.dropped.values())}
    lines = [text + "".join(f"; {count} {what} are left out" for what, count in notes.items() if count)]
    # Of several processes or batches, the images of a step are called a global batch.
    batch = recipe.global_batch(inputs.world.size)
    if images % batch:
        name = "batch" if batch == recipe.batch_size else "global batch"
        lines.append(
            f"{images - images % batch} images in each epoch: the last {name} of {batch} is not full and is "
            "left out; the order is new in each epoch, so that every image has its turn"
        )
    return lines


def _rank_lines(world: World, recipe: Recipe) -> list[str]:
    """Returns who takes part, with which seeds, and what a step is. Collective."""
    if world.size == 1:
        return []
    seeds, hosts = zip(*world.gather((world.seed(recipe.seed), socket.gethostname())))
    places = ", ".join(f"{count} on {host}" for host, count in Counter(hosts).items())
    return [
        f"{world.size} processes: {places}; global batch {recipe.global_batch(world.size)}, "
        f"lr {recipe.effective_lr(world.size):.4g}",
        f"seeds of ranks 0 to {world.size - 1}: {', '.join(map(str, seeds))}; the order of images and their "
        f"augmentation follow from {recipe.seed} alone, every rank has images of its own",
    ]


def epoch_lines(
    recipe: Recipe,
    epoch: int,
    values: Mapping[str, float],
    scale: LossScale | None,
    left: float | None = None,
) -> list[str]:
    """Returns the line about an epoch that has ended, and those that ask the user to look at something.

    ``left`` is how many seconds the run will still take.
    """
    losses = "  ".join(
        f"{name.replace('_loss', '')} {values[name]:.3f}" for name in values if name.endswith("loss")
    )
    lines = [
        f"epoch {epoch}/{recipe.epochs}  {losses}  lr {values['lr']:.3g}  "
        f"images/s {values['images_per_second']:.1f}  mem {memory_gib():.1f}G  "
        f"time {duration(values['seconds'])}" + (f"  ETA {duration(left)}" if left else "")
    ]
    if scale is not None and scale.skipped:
        lines.append(f"{scale.skipped} steps skipped so far for overflow; loss scale {scale.value:g}")
    if values["wait_share"] > _INPUT_BOUND:
        flag = "--dali-workers" if recipe.data_pipeline == "dali" else "--workers"
        lines.append(
            f"input bound: {values['wait_share']:.0%} of the epoch was spent waiting for images; more {flag}?"
        )
    return lines
