"""Training from a recipe: the loop, and what it writes into the run folder."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mxnet as mx

from ..detector import Detector
from ..recipe import Recipe
from ..report.plots import plot_metrics
from .build import make_net, make_schedule, make_step
from .checkpoint import Progress, save_checkpoint
from .console import Console, duration, memory_gib
from .device import images_on
from .evaluate import evaluate, score_table, write_evaluation
from .metrics import MetricsFile
from .observer import RunFacts, RunObserver, observer_for
from .pictures import write_batch_picture
from .setup import Inputs, gather, input_settings, prepare_folder, training_loader
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
    observer = observer_for(recipe)
    inputs = gather(recipe)
    training = _Training(inputs, observer)
    run_dir = inputs.run_dir
    prepare_folder(run_dir, recipe)
    console = Console(run_dir / "train.log", quiet)
    try:
        return training.run(console)
    except KeyboardInterrupt:
        place = f"interrupted in epoch {training.progress.epoch}, step {training.progress.step}"
        console.note(place)
        if not (run_dir / "checkpoints" / "last.ckpt").is_file():
            raise KeyboardInterrupt(f"{place}; no checkpoint was written yet") from None
        advice = f"gluon-ssd train --resume --output {run_dir}"
        raise KeyboardInterrupt(f"{place}; to go on from the last checkpoint: {advice}") from None
    finally:
        observer.close()
        console.close()


class _Training:
    """The state of one run. ``run`` is the loop, the rest its steps; nothing is written before it."""

    console: Console

    def __init__(self, inputs: Inputs, observer: RunObserver) -> None:
        self.observer = observer
        self.inputs, self.recipe, self.run_dir = inputs, inputs.recipe, inputs.run_dir
        recipe, resumed = inputs.recipe, inputs.resumed
        self.device = inputs.device
        self.net, self.transferred = make_net(inputs)
        self.progress = Progress() if resumed is None else resumed.progress
        self.step = make_step(inputs, self.net)
        self.loader = training_loader(inputs, self.net)
        # What is left over from whole updates is not used.
        self.batches = len(self.loader) // recipe.accumulate * recipe.accumulate
        self.schedule = make_schedule(recipe, inputs.train_images)
        self.metrics = MetricsFile(self.run_dir / "metrics.csv", self.progress.epoch - 1)
        self.watch = LossWatch(self.run_dir, PARTS)

    def _describe(self) -> None:
        recipe, say, train_set = self.recipe, self.console.say, self.inputs.train_set
        say(f"{recipe.model}, {len(train_set.classes)} classes, {recipe.precision} on {self.device}")
        dropped = sum(train_set.dropped.values())
        notes = f", {dropped} unusable boxes left out" if dropped else ""
        say(f"training on {self.loader.samples} of {len(train_set)} images{notes}; run folder {self.run_dir}")
        if self.transferred is not None and self.inputs.start_from is not None:
            say("\n".join([f"weights from {self.inputs.start_from.path}:", *self.transferred.lines()]))
        if self.inputs.resumed is not None:
            say(f"resumed at epoch {self.progress.epoch}, step {self.progress.step}")

    def run(self, console: Console) -> TrainResult:
        """All epochs, or as far as ``max_steps`` or the target allow."""
        self.console = console
        self.loader.tell_skipped(console.say)
        recipe, progress = self.recipe, self.progress
        self._describe()
        self.observer.started(self._facts())
        before = progress.step
        reached = self._evaluate_if_due()
        while progress.epoch <= recipe.epochs and not reached and not self._out_of_steps():
            self._train_epoch()
            reached = self._evaluate_if_due()
        self.observer.ended(reached)
        if reached:
            console.say(f"reached the target mAP {recipe.target_map} in epoch {progress.best_epoch}")
        elif progress.step == before:
            console.say(f"nothing left to train; the run ended at step {before}")
        return TrainResult(self.run_dir, progress.best_map, progress.step, reached)

    def _facts(self) -> RunFacts:
        inputs = self.inputs
        return RunFacts(
            self.recipe,
            self.run_dir,
            self.net,
            self.schedule,
            train_images=inputs.train_images,
            val_images=inputs.val_images,
            resumed=inputs.resumed is not None,
        )

    def _out_of_steps(self) -> bool:
        return self.recipe.max_steps is not None and self.progress.step >= self.recipe.max_steps

    def _train_epoch(self) -> None:
        """The rest of the epoch, or as much of it as ``max_steps`` leaves; then the checkpoint."""
        progress, recipe = self.progress, self.recipe
        self.loader.set_epoch(progress.epoch, progress.batch)
        self.console.start(f"epoch {progress.epoch}/{recipe.epochs}", self.batches, progress.batch)
        self._clock, self._first = time.perf_counter(), progress.batch
        self.observer.epoch_started(progress.epoch)
        with self.loader:
            for batch in self.loader:
                if progress.epoch == 1 and progress.batch == 0:
                    write_batch_picture(batch, self.net, self.run_dir / "train_batch.jpg")
                self._train_batch(batch)
                if progress.batch == self.batches or self._out_of_steps():
                    break
        self._add(self.watch.last())
        self.console.stop()
        self._report_epoch()
        if progress.batch == self.batches:
            finished = progress.epoch
            progress.epoch, progress.batch, progress.sums = finished + 1, 0, {}
            # Before "last": a run that is killed in between does the epoch again, and writes both.
            if recipe.save_every and finished % recipe.save_every == 0:
                self._save(f"epoch_{finished:03}")
        self._save("last")

    def _train_batch(self, batch: Any) -> None:
        progress, recipe = self.progress, self.recipe
        lr = self.schedule(progress.epoch, progress.step + 1)
        targets = [mx.nd.array(target, ctx=self.device) for target in batch.targets]
        losses = self.step(images_on(self.device, batch), targets, lr)
        # The losses of the batch before are read while this one computes.
        self._add(self.watch.next(batch, losses, lr, progress.epoch, progress.batch))
        progress.batch += 1
        if progress.batch % recipe.accumulate == 0:
            progress.step += 1
            every = recipe.checkpoint_steps
            if every and progress.step % every == 0 and progress.batch < self.batches:
                self._add(self.watch.last())
                self._save("last")
        self._show(lr)

    def _add(self, values: dict[str, float]) -> None:
        sums = self.progress.sums
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value
        if values:
            sums["batches"] = sums.get("batches", 0) + 1

    def _means(self) -> dict[str, float]:
        sums = self.progress.sums
        return {name: sums[name] / sums["batches"] for name in PARTS if name in sums}

    def _show(self, lr: float) -> None:
        progress = self.progress
        # The batch that was just handed to the device is not done.
        finished = progress.batch - self._first - 1
        values = {name.replace("_loss", ""): f"{value:.3f}" for name, value in self._means().items()}
        values["lr"] = f"{lr:.3g}"
        if finished:
            rate = finished * self.recipe.batch_size / (time.perf_counter() - self._clock)
            values["images/s"] = f"{rate:.1f}"
        values["mem"] = f"{memory_gib():.1f}G"
        # The first has no loss to show yet; the epoch's last is told by `_report_epoch`.
        show = progress.batch % self.recipe.log_every == 0 and finished > 0 and progress.batch < self.batches
        self.console.step(progress.batch, values, show)

    def _report_epoch(self) -> None:
        progress = self.progress
        spent = time.perf_counter() - self._clock
        waited = self.loader.wait_seconds / spent
        means, lr = self._means(), self.schedule(progress.epoch, progress.step)
        rate = (progress.batch - self._first) * self.recipe.batch_size / spent
        times = {"images_per_second": rate, "wait_share": waited, "seconds": spent}
        self.metrics.write(progress.epoch, {"step": progress.step, "lr": lr, **means, **times})
        self.observer.epoch_ended(progress.epoch, {"lr": lr, **means, **times})
        losses = "  ".join(f"{name.replace('_loss', '')} {value:.3f}" for name, value in means.items())
        self.console.say(
            f"epoch {progress.epoch}/{self.recipe.epochs}  {losses}  lr {lr:.3g}  images/s {rate:.1f}  "
            f"mem {memory_gib():.1f}G  time {duration(spent)}"
        )
        scale = self.step.scale
        if scale is not None and scale.skipped:
            self.console.say(f"{scale.skipped} steps skipped so far for overflow; loss scale {scale.value:g}")
        if waited > 0.2:
            flag = "--dali-workers" if self.recipe.data_pipeline == "dali" else "--workers"
            self.console.say(
                f"input bound: {waited:.0%} of the epoch was spent waiting for images; more {flag}?"
            )

    def _save(self, name: str) -> None:
        path = self.run_dir / "checkpoints" / f"{name}.ckpt"
        if self.step.scale is not None:
            self.progress.loss_scale = asdict(self.step.scale)
        save_checkpoint(path, self.net, self.step.trainer, self.progress, self.recipe.to_dict())

    def _evaluate_if_due(self) -> bool:
        """Evaluates if that is wanted here and not done; True when the target is reached."""
        progress, recipe = self.progress, self.recipe
        whole = progress.batch == 0
        epoch = progress.epoch - 1 if whole else progress.epoch
        ended = (whole and epoch >= recipe.epochs) or self._out_of_steps()
        at_the_end = ended and recipe.eval_every > 0 and recipe.eval_epochs is None
        due = (whole and recipe.evaluates_after(epoch)) or at_the_end
        if self.inputs.val_set is not None and progress.step > progress.evaluated and due:
            self._evaluate(epoch)
        best = progress.best_map
        return recipe.target_map is not None and best is not None and best >= recipe.target_map

    def _evaluate(self, epoch: int) -> None:
        progress, recipe, val_set = self.progress, self.recipe, self.inputs.val_set
        assert val_set is not None
        detector = Detector(self.net, recipe.score_threshold, recipe.iou_threshold, recipe.max_detections)
        self.console.start(f"evaluation {epoch}/{recipe.epochs}", self.inputs.val_images)
        self.observer.evaluation_started(epoch)
        evaluation = evaluate(
            detector,
            val_set,
            batch_size=recipe.eval_batch_size,
            settings=input_settings(recipe),
            limit=recipe.limit_val,
            on_batch=self.console.advance,
        )
        self.console.stop()
        scores = evaluation.scores
        self.observer.evaluated(epoch, scores.map)
        self.console.say(
            f"epoch {epoch}: mAP {scores.map:.4f}, AP50 {scores.stats['ap50']:.4f} on {scores.images} images"
        )
        self.metrics.write(epoch, {"map": scores.map, "ap50": scores.stats["ap50"]})
        plot_metrics(self.metrics.path, self.run_dir / "metrics.png")
        progress.evaluated = progress.step
        # Killed between the two checkpoints, a run evaluates again and comes to the same result.
        if progress.best_map is None or scores.map > progress.best_map:
            progress.best_map, progress.best_epoch = scores.map, epoch
            self._save("best")
            write_evaluation(evaluation, val_set, self.run_dir / "val")
        self._save("last")
        if epoch >= recipe.epochs or self._out_of_steps():
            self.console.say(score_table(scores))
