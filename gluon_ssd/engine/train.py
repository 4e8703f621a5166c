"""Training from a recipe: the run folder, what it is made of, and the loop."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mxnet as mx

from ..data.coco import CocoDataset, open_dataset
from ..data.loader import NativeLoader
from ..data.transforms import PlainTrainTransform, SSDTrainTransform
from ..detector import Detector
from ..errors import UserError
from ..model_zoo import get_model
from ..model_zoo.transfer import set_parameters, transfer
from ..nn import compute_precision
from ..recipe import Recipe
from ..report.plots import plot_metrics
from ..runs import RECIPE_FILE, next_run_dir
from .archive import atomic_write, remove_leftovers
from .checkpoint import (
    Checkpoint,
    Progress,
    find_checkpoint,
    read_checkpoint,
    restore_optimizer,
    save_checkpoint,
)
from .console import Console, memory_gib
from .device import pick_device
from .evaluate import evaluate, score_table, write_evaluation
from .metrics import MetricsFile
from .pictures import write_batch_picture
from .schedule import StepSchedule
from .step import TrainStep
from .watch import LossWatch

PARTS = ("loss", "cls_loss", "box_loss")


@dataclass(frozen=True)
class TrainResult:
    """``best_map`` is None when nothing was evaluated."""

    run_dir: Path
    best_map: float | None
    steps: int
    reached_target: bool


def run_training(recipe: Recipe, quiet: bool = False) -> TrainResult:
    """Trains as ``recipe`` says and returns where the results are.

    With ``recipe.resume`` it goes on from the run folder's last checkpoint, on the same trajectory.
    Raises UserError for bad input, an unusable run folder, and a loss that is not finite.
    """
    run_dir = Path(recipe.output).expanduser() if recipe.output else next_run_dir(recipe.model)
    last = run_dir / "checkpoints" / "last.ckpt"
    resumed = read_checkpoint(last) if recipe.resume and last.is_file() else None
    if resumed is None and last.is_file():
        raise UserError(f"{run_dir}: holds a run already; go on with --resume, or choose another --output")
    # Everything that can be wrong with the input is found before the folder is touched.
    train_set = open_dataset(recipe.data or ".", "train", recipe.train_annotation, recipe.train_images)
    val_set = _validation_set(recipe, train_set)
    if resumed is not None and (resumed.model, resumed.classes) != (recipe.model, train_set.classes):
        raise UserError(f"{last}: is a {resumed.model} of other classes than {train_set.annotation} has")
    start_from = read_checkpoint(find_checkpoint(recipe.weights)) if recipe.weights else None
    if start_from is not None and start_from.model != recipe.model:
        raise UserError(f"{start_from.path}: holds a {start_from.model}, not the recipe's {recipe.model}")
    _prepare_folder(run_dir, recipe)
    console = Console(run_dir / "train.log", quiet)
    try:
        return _Training(recipe, run_dir, console, train_set, val_set, resumed, start_from).run()
    finally:
        console.close()


def _validation_set(recipe: Recipe, train_set: CocoDataset) -> CocoDataset | None:
    if not any(recipe.evaluates_after(epoch) for epoch in range(1, recipe.epochs + 1)):
        return None
    root, annotation = recipe.data or ".", recipe.val_annotation
    return open_dataset(root, "val", annotation, recipe.val_images, train_set.classes)


def _prepare_folder(run_dir: Path, recipe: Recipe) -> None:
    try:
        (run_dir / "checkpoints").mkdir(parents=True, exist_ok=True)
        remove_leftovers(run_dir / "checkpoints")
    except OSError as error:
        raise UserError(f"{run_dir}: cannot be written: {error.strerror}; choose another --output") from None
    with atomic_write(run_dir / RECIPE_FILE) as temporary:
        temporary.write_text(recipe.to_yaml(), encoding="utf-8")


class _Training:
    """The state of one run. ``run`` is the loop; the rest are its steps."""

    def __init__(
        self,
        recipe: Recipe,
        run_dir: Path,
        console: Console,
        train_set: CocoDataset,
        val_set: CocoDataset | None,
        resumed: Checkpoint | None,
        start_from: Checkpoint | None,
    ) -> None:
        self.recipe, self.run_dir, self.console, self.val_set = recipe, run_dir, console, val_set
        self.device = pick_device(recipe.device)
        mx.random.seed(recipe.seed)
        self.net = get_model(recipe.model, classes=train_set.classes, ctx=self.device)
        self.progress = Progress()
        if resumed is not None:
            set_parameters(self.net, resumed.parameters, str(resumed.path))
            self.progress = resumed.progress
        elif start_from is not None:
            report = transfer(self.net, start_from.parameters, start_from.classes)
            console.say("\n".join([f"weights from {start_from.path}:", *report.lines()]))
        if recipe.precision == "amp":
            compute_precision(self.net, "bfloat16" if self.device.device_type == "cpu" else "float16")
        self.step = TrainStep(
            self.net,
            self.net.loss(),
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            accumulate=recipe.accumulate,
        )
        if resumed is not None:
            restore_optimizer(self.step.trainer, resumed)
        self.loader = self._loader(train_set)
        self.steps_per_epoch = max(len(self.loader) // recipe.accumulate, 1)
        warmup = int(recipe.warmup_epochs * self.loader.samples / recipe.global_batch())
        self.schedule = StepSchedule(
            recipe.effective_lr(), warmup, recipe.warmup_factor, recipe.decay_epochs, recipe.decay_factor
        )
        self.metrics = MetricsFile(run_dir / "metrics.csv", self.progress.epoch - 1)
        self.watch = LossWatch(run_dir, PARTS)
        self._describe(train_set, resumed)

    def _loader(self, train_set: CocoDataset) -> NativeLoader:
        recipe = self.recipe
        # One try per crop option, as the published trainings do.
        augmented = SSDTrainTransform(self.net.preprocess, attempts=1)
        loader = NativeLoader(
            train_set,
            augmented if recipe.augment == "ssd" else PlainTrainTransform(self.net.preprocess),
            recipe.batch_size,
            shuffle=True,
            seed=recipe.seed,
            workers=recipe.workers,
            drop_last=True,
            skip_empty=True,
            encoder=self.net.target_encoder(self.net.input_size),
            indices=range(len(train_set))[: recipe.limit_train],
            on_bad_image=recipe.on_bad_image,
        )
        if len(loader) < recipe.accumulate:
            raise UserError(
                f"an epoch has {len(loader)} batches, fewer than accumulate ({recipe.accumulate}); "
                "use a smaller batch size or less accumulation"
            )
        return loader

    def _describe(self, train_set: CocoDataset, resumed: Checkpoint | None) -> None:
        recipe, say = self.recipe, self.console.say
        say(f"{recipe.model}, {len(train_set.classes)} classes, {recipe.precision} on {self.device}")
        dropped = sum(train_set.dropped.values())
        notes = f", {dropped} unusable boxes left out" if dropped else ""
        say(f"training on {self.loader.samples} of {len(train_set)} images{notes}; run folder {self.run_dir}")
        if resumed is not None:
            say(f"resumed at epoch {self.progress.epoch}, step {self.progress.step}")

    def run(self) -> TrainResult:
        """All epochs, or as far as ``max_steps`` or the target allow."""
        recipe, progress = self.recipe, self.progress
        reached = self._evaluate_if_due(progress.epoch - 1)
        while progress.epoch <= recipe.epochs and not reached and not self._out_of_steps():
            self._train_epoch()
            finished = progress.epoch
            progress.epoch, progress.batch, progress.sums = finished + 1, 0, {}
            self._save("last")
            if recipe.save_every and finished % recipe.save_every == 0:
                self._save(f"epoch_{finished:03}")
            reached = self._evaluate_if_due(finished)
        if reached:
            self.console.say(f"reached the target mAP {recipe.target_map} in epoch {progress.best_epoch}")
        return TrainResult(self.run_dir, progress.best_map, progress.step, reached)

    def _out_of_steps(self) -> bool:
        return self.recipe.max_steps is not None and self.progress.step >= self.recipe.max_steps

    def _train_epoch(self) -> None:
        progress, recipe = self.progress, self.recipe
        batches = self.steps_per_epoch * recipe.accumulate
        self.loader.set_epoch(progress.epoch, progress.batch)
        self.console.start(f"epoch {progress.epoch}/{recipe.epochs}", batches, progress.batch)
        self._clock = time.perf_counter()
        first = progress.batch
        with self.loader:
            for batch in self.loader:
                if progress.epoch == 1 and progress.batch == 0:
                    write_batch_picture(batch, self.net, self.run_dir / "train_batch.jpg")
                self._train_batch(batch, batches, first)
                if progress.batch == batches or self._out_of_steps():
                    break
        self._add(self.watch.last())
        self.console.stop()
        self._report_epoch(first)

    def _train_batch(self, batch: Any, batches: int, first: int) -> None:
        progress, recipe = self.progress, self.recipe
        lr = self.schedule(progress.epoch, progress.step + 1)
        targets = [mx.nd.array(target, ctx=self.device) for target in batch.targets]
        losses = self.step(mx.nd.array(batch.images, ctx=self.device), targets, lr)
        # The losses of the batch before are read while this one computes.
        self._add(self.watch.next(batch, losses, lr, progress.epoch, progress.batch))
        progress.batch += 1
        if progress.batch % recipe.accumulate == 0:
            progress.step += 1
            every = recipe.checkpoint_steps
            if every and progress.step % every == 0 and progress.batch < batches:
                self._add(self.watch.last())
                self._save("last")
        self._show(batches, first, lr)

    def _add(self, values: dict[str, float]) -> None:
        sums = self.progress.sums
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value
        if values:
            sums["batches"] = sums.get("batches", 0) + 1

    def _means(self) -> dict[str, float]:
        sums = self.progress.sums
        return {name: sums[name] / sums["batches"] for name in PARTS if name in sums}

    def _show(self, batches: int, first: int, lr: float) -> None:
        progress = self.progress
        spent = time.perf_counter() - self._clock
        rate = (progress.batch - first) * self.recipe.batch_size / spent
        values = {name.replace("_loss", ""): f"{value:.3f}" for name, value in self._means().items()}
        values.update({"lr": f"{lr:.3g}", "images/s": f"{rate:.1f}", "mem": f"{memory_gib():.1f}G"})
        done = progress.batch
        self.console.step(done, values, show=done % self.recipe.log_every == 0 or done == batches)

    def _report_epoch(self, first: int) -> None:
        progress = self.progress
        spent = time.perf_counter() - self._clock
        waited = self.loader.wait_seconds / spent
        row = {
            "step": progress.step,
            "lr": self.schedule(progress.epoch, progress.step),
            **self._means(),
            "images_per_second": (progress.batch - first) * self.recipe.batch_size / spent,
            "wait_share": waited,
            "seconds": spent,
        }
        self.metrics.write(progress.epoch, row)
        if waited > 0.2:
            self.console.say(
                f"input bound: {waited:.0%} of the epoch was spent waiting for images; more --workers?"
            )

    def _save(self, name: str) -> None:
        path = self.run_dir / "checkpoints" / f"{name}.ckpt"
        save_checkpoint(path, self.net, self.step.trainer, self.progress, self.recipe.to_dict())

    def _evaluate_if_due(self, epoch: int) -> bool:
        """Evaluates after ``epoch`` if that is wanted and not done; True when the target is reached."""
        progress, recipe = self.progress, self.recipe
        ended = epoch == recipe.epochs or self._out_of_steps()
        due = recipe.evaluates_after(epoch) or (
            ended and recipe.eval_every > 0 and recipe.eval_epochs is None
        )
        if self.val_set is not None and epoch > progress.evaluated and epoch > 0 and due:
            self._evaluate(epoch)
        best = progress.best_map
        return recipe.target_map is not None and best is not None and best >= recipe.target_map

    def _evaluate(self, epoch: int) -> None:
        progress, recipe = self.progress, self.recipe
        assert self.val_set is not None
        detector = Detector(self.net, recipe.score_threshold, recipe.iou_threshold, recipe.max_detections)
        total = min(len(self.val_set), recipe.limit_val or len(self.val_set))
        self.console.start(f"evaluation {epoch}/{recipe.epochs}", total)
        done = [0]

        def count(images: int) -> None:
            done[0] += images
            self.console.step(done[0], {}, show=False)

        evaluation = evaluate(
            detector,
            self.val_set,
            batch_size=recipe.eval_batch_size,
            workers=recipe.workers,
            limit=recipe.limit_val,
            on_batch=count,
        )
        self.console.stop()
        scores = evaluation.scores
        self.console.say(f"epoch {epoch}: mAP {scores.map:.4f}, AP50 {scores.stats['ap50']:.4f}")
        self.metrics.write(epoch, {"map": scores.map, "ap50": scores.stats["ap50"]})
        plot_metrics(self.metrics.path, self.run_dir / "metrics.png")
        progress.evaluated = epoch
        if progress.best_map is None or scores.map > progress.best_map:
            progress.best_map, progress.best_epoch = scores.map, epoch
            self._save("best")
            write_evaluation(evaluation, self.val_set, self.run_dir / "val")
        self._save("last")
        if epoch == recipe.epochs or self._out_of_steps():
            self.console.say(score_table(scores))
