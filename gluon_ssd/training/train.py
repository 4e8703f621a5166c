"""Training from a recipe: the loop, and what it writes into the run folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Callable

import mxnet as mx

from ..console import Console, memory_gib
from ..device import images_on
from ..plugins import import_plugins
from ..predict import Detector
from ..recipe import Recipe
from ..report.plots import plot_metrics
from ..runs import LOG_FILE, checkpoint_path
from ..tensor_files.archive import write_archive
from ..weights.checkpoint import Progress, save_checkpoint, snapshot
from .average import WeightAverage
from .build import make_net, make_schedule, make_step
from .callbacks import Callback, CallbackList, RunInfo, check_callbacks
from .coco_eval import Scores
from .distributed import World, connect
from .evaluate import detect_all, evaluate, score_table, write_evaluation
from .lines import epoch_lines, opening_lines
from .metrics import MetricsFile
from .mlperf.log import callbacks_of
from .pace import Pace
from .pictures import write_batch_picture
from .profiler import StepProfiler
from .ranks import average_statistics, averaged
from .result import TrainResult
from .run_folder import claim_folder
from .scorer import PendingEvaluations, Scorer
from .setup import Inputs, gather, input_settings, training_loader
from .stop_signals import StopSignals, stopped_at, way_on
from .stored_recipe import stored_recipe
from .watch import LossWatch


def run_training(recipe: Recipe, quiet: bool = False, callbacks: Sequence[Callback] = ()) -> TrainResult:
    """Trains as ``recipe`` says and returns where the results are.

    ``callbacks`` are told of every stage, after those of the recipe; ``quiet`` prints nothing.
    With ``recipe.resume`` it goes on from the run folder's last checkpoint, on the same trajectory. The
    recipe's plugins are imported first. Several processes started together train one network; rank 0 writes
    and speaks. Raises UserError for bad input, an unusable run folder, and a loss that is not finite. SIGINT
    and SIGTERM end it at the next step, with a checkpoint, and raise Interrupted.
    """
    recipe = replace(recipe, plugin=import_plugins(recipe.plugin))
    world = connect(recipe.bn_group, recipe.fusion_mb)
    given = check_callbacks(callbacks)
    with world.together(), closing(_told(recipe, world, given)) as told, StopSignals(world) as signals:
        training = _Training(gather(recipe, world), told, signals)
        folder = claim_folder(training.recipe, world, training.inputs.resumed is not None)
        run_dir = folder.path
        training.enter(run_dir)
        console = Console(run_dir / LOG_FILE if world.first else None, quiet or not world.first)
        try:
            return training.run(console)
        except KeyboardInterrupt as error:
            stop = stopped_at(error, training.progress, run_dir, training.saved)
            console.note(str(stop))
            raise stop from None
        finally:
            training.profiler.close()
            training.pending.close()
            console.close()
            folder.close()


def _told(recipe: Recipe, world: World, given: Sequence[Callback]) -> CallbackList:
    return CallbackList([*callbacks_of(recipe, world.rank), *given])


class _Training:
    """The state of one run. ``run`` is the loop, the rest its steps; nothing is written before `enter`."""

    console: Console

    def __init__(self, inputs: Inputs, callbacks: CallbackList, signals: StopSignals) -> None:
        self.callbacks, self.signals = callbacks, signals
        self.inputs, self.recipe = inputs, inputs.recipe
        recipe, resumed = inputs.recipe, inputs.resumed
        self.device, self.world = inputs.device, inputs.world
        self.net, self.transferred = make_net(inputs)
        fresh = Progress(recipe.start_epoch, processes=self.world.size)
        self.progress = fresh if resumed is None else resumed.progress
        self.processes_before = self.progress.processes
        # The step of the last checkpoint.
        self.saved = None if resumed is None else self.progress.step
        self.step = make_step(inputs, self.net)
        start = resumed.parameters if resumed is not None and resumed.trained else None
        self.average = WeightAverage(self.net, recipe.ema, start) if recipe.ema else None
        self.loader = training_loader(inputs, self.net)
        # What is left over from whole updates is not used.
        self.batches = len(self.loader) // recipe.accumulate * recipe.accumulate
        # The epochs before a late first one count as trained, so that its warm-up is over.
        fresh.step = fresh.evaluated = (recipe.start_epoch - 1) * self.batches // recipe.accumulate
        self.schedule = make_schedule(recipe, inputs.train_images, self.world.size)
        self.profiler = StepProfiler(recipe.profile, self.world.first)
        self.pace = Pace(meets_inside=recipe.bn_group > 1)
        self.step.before_exchange = self.pace.gradients_queued
        self.pending = PendingEvaluations(self.world, None)

    def enter(self, run_dir: Path) -> None:
        """Takes ``run_dir``, which was claimed for this training, for its own."""
        self.run_dir, self.stored = run_dir, stored_recipe(self.recipe, run_dir)
        losses = self.step.loss_names
        self.metrics = MetricsFile(run_dir / "metrics.csv", losses, self.progress.epoch - 1)
        self.watch = LossWatch(run_dir, losses, self.world.rank)
        self.profiler.folder = run_dir

    def run(self, console: Console) -> TrainResult:
        """All epochs, or as far as ``max_steps`` or the target allow."""
        self.console = console
        self.loader.tell_skipped(console.say)
        recipe, progress = self.recipe, self.progress
        facts = self.transferred, progress, self.processes_before
        for line in opening_lines(self.inputs, self.run_dir, *facts):
            console.say(line)
        self.callbacks.started(self._info())
        self.world.advise(lambda: way_on(self.run_dir), console.note)
        if recipe.async_val and self.inputs.val_set is not None and self.world.first:
            scorer = Scorer(self.inputs.val_set, self.run_dir / "val", progress.best_map)
            self.pending = PendingEvaluations(self.world, scorer)
        before = progress.step
        reached = self._evaluate_if_due()
        while progress.epoch <= recipe.epochs and not reached and not self._ends_early():
            with self.signals.held():
                self._train_epoch()
            reached = self._evaluate_if_due()
        if self.pending:
            self._settle()
            self._save_last()
            reached = self._reached()
        self.callbacks.ended(reached)
        if reached:
            console.say(f"reached the target mAP {recipe.target_map} in epoch {progress.best_epoch}")
        elif self._out_of_patience():
            console.say(
                f"no better mAP in {progress.stale} evaluations in a row (patience {recipe.patience}); "
                f"the best is that of epoch {progress.best_epoch}"
            )
        elif progress.step == before:
            console.say(f"nothing left to train; the run ended at step {before}")
        return TrainResult(self.run_dir, progress.best_map, progress.step, reached)

    def _reached(self) -> bool:
        target, best = self.recipe.target_map, self.progress.best_map
        return target is not None and best is not None and best >= target

    def _info(self) -> RunInfo:
        inputs = self.inputs
        return RunInfo(
            self.recipe,
            self.run_dir,
            self.net,
            self.schedule,
            train_images=inputs.train_images,
            val_images=inputs.val_images,
            resumed=inputs.resumed is not None,
            processes=self.world.size,
            rank=self.world.rank,
            bn_group=self.recipe.bn_group,
        )

    def _out_of_patience(self) -> bool:
        return self.recipe.patience is not None and self.progress.stale >= self.recipe.patience

    def _ends_early(self) -> bool:
        return self._out_of_steps() or self._out_of_patience()

    def _out_of_steps(self) -> bool:
        return self.recipe.max_steps is not None and self.progress.step >= self.recipe.max_steps

    def _train_epoch(self) -> None:
        """The rest of the epoch, or what ``max_steps`` or a signal leaves of it; then the checkpoint."""
        progress, recipe = self.progress, self.recipe
        self.loader.set_epoch(progress.epoch, progress.batch)
        self.console.start(f"epoch {progress.epoch}/{recipe.epochs}", self.batches, progress.batch)
        self._clock, self._first = time.perf_counter(), progress.batch
        self.callbacks.epoch_started(progress.epoch)
        self.pace.new_epoch()
        with self.loader:
            for batch in self.loader:
                if progress.epoch == 1 and progress.batch == 0 and self.world.first:
                    write_batch_picture(batch, self.net, self.run_dir / "train_batch.jpg")
                self._train_batch(batch)
                if progress.batch == self.batches or self._ends_early() or self._reached():
                    break
                # A gradient that is gathered in part is no state that can be saved.
                if progress.batch % recipe.accumulate == 0 and self.signals.asked():
                    break
        self._add(self.watch.last())
        self.console.stop()
        self._say_straggler(looks=1)
        self._settle()
        self._report_epoch()
        if progress.batch == self.batches:
            finished = progress.epoch
            progress.epoch, progress.batch, progress.sums = finished + 1, 0, {}
            # Before "last": a run that is killed in between does the epoch again, and writes both.
            if recipe.save_every and finished % recipe.save_every == 0:
                self._save(f"epoch_{finished:03}")
        self._save_last()

    def _train_batch(self, batch: Any) -> None:
        progress, recipe = self.progress, self.recipe
        lr = self.schedule(progress.epoch, progress.step + 1)
        # The batch that makes a step is looked at now and then, where there are others to compare with.
        last = (progress.batch + 1) % recipe.accumulate == 0
        look = self.world.size > 1 and last and (progress.step + 1) % recipe.log_every == 0
        if look:
            self.pace.begin(self.loader.wait_seconds / (progress.batch - self._first + 1))
        self.profiler.before(progress.step + 1)
        targets = [mx.nd.array(target, ctx=self.device) for target in batch.targets]
        losses = self.step(images_on(self.device, batch), targets, lr)
        # The losses of the batch before are read while this one computes.
        self._add(self.watch.next(batch, losses, lr, progress.epoch, progress.batch))
        progress.batch += 1
        if progress.batch % recipe.accumulate == 0:
            progress.step += 1
            if self.average is not None:
                self.average.update(progress.step)
            self.profiler.after(progress.step)
            every = recipe.checkpoint_steps
            if every and progress.step % every == 0 and progress.batch < self.batches:
                self._add(self.watch.last())
                self._settle()
                self._save_last()
        self._show(lr)
        if look:
            self._say_straggler()
        if progress.batch % recipe.log_every == 0:
            self._take_scores(wait=False)

    def _settle(self) -> None:
        """Before a checkpoint: it knows the scores of all evaluations before it and the mean of all ranks."""
        self._take_scores(wait=True)
        average_statistics(self.world, self.net)
        if self.world.size > 1:
            self.progress.sums = averaged(self.world, self.progress.sums)

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self.average is None else self.average.in_use()

    def _say_straggler(self, **when: int) -> None:
        line = self.pace.straggler(self.world, **when)
        if line is not None:
            self.console.say(line)

    def _add(self, values: dict[str, float]) -> None:
        sums = self.progress.sums
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value
        if values:
            sums["batches"] = sums.get("batches", 0) + 1

    def _means(self) -> dict[str, float]:
        sums = self.progress.sums
        return {name: sums[name] / sums["batches"] for name in self.step.loss_names if name in sums}

    def _show(self, lr: float) -> None:
        progress = self.progress
        # The batch that was just handed to the device is not done.
        finished = progress.batch - self._first - 1
        # The first has no loss to show yet; the epoch's last is told by `_report_epoch`.
        show = progress.batch % self.recipe.log_every == 0 and finished > 0 and progress.batch < self.batches
        means = averaged(self.world, self._means()) if show else self._means()
        values = {name.replace("_loss", ""): f"{value:.3f}" for name, value in means.items()}
        values["lr"] = f"{lr:.3g}"
        if finished:
            images = finished * self.recipe.batch_size * self.world.size
            values["images/s"] = f"{images / (time.perf_counter() - self._clock):.1f}"
        values["mem"] = f"{memory_gib():.1f}G"
        self.console.step(progress.batch, values, show)

    def _report_epoch(self) -> None:
        progress = self.progress
        spent = time.perf_counter() - self._clock
        waited = self.loader.wait_seconds / spent
        means, lr = self._means(), self.schedule(progress.epoch, progress.step)
        rate = (progress.batch - self._first) * self.recipe.batch_size * self.world.size / spent
        row = {"step": progress.step, "lr": lr, **means}
        row.update(images_per_second=rate, wait_share=waited, seconds=spent)
        self._write_metrics(progress.epoch, row)
        self.callbacks.epoch_ended(progress.epoch, row)
        for line in epoch_lines(self.recipe, progress.epoch, row, self.step.scale):
            self.console.say(line)

    def _write_metrics(self, epoch: int, values: dict[str, float]) -> None:
        if self.world.first:
            self.metrics.write(epoch, values)

    def _save(self, name: str) -> None:
        if self.world.first:
            save_checkpoint(self._path(name), *self._parts())
        if name == "last":
            self.saved = self.progress.step

    def _save_last(self) -> None:
        """Writes the last checkpoint. What a callback has raised ends the run now, and on no rank before."""
        self._save("last")
        self.world.barrier()
        self.callbacks.raise_held()

    def _path(self, name: str) -> Path:
        return checkpoint_path(self.run_dir, name)

    def _parts(self) -> tuple[Any, ...]:
        """What a checkpoint is made of."""
        if self.step.scale is not None:
            self.progress.loss_scale = asdict(self.step.scale)
        averages = None if self.average is None else self.average.arrays()
        return self.net, self.step.trainer, self.progress, self.stored, averages

    def _evaluate_if_due(self) -> bool:
        """Evaluates if that is wanted here and not done; True when the target is reached."""
        progress, recipe = self.progress, self.recipe
        whole = progress.batch == 0
        epoch = progress.epoch - 1 if whole else progress.epoch
        ended = (whole and epoch >= recipe.epochs) or self._out_of_steps()
        at_the_end = ended and recipe.eval_every > 0 and recipe.eval_epochs is None
        due = (whole and recipe.evaluates_after(epoch)) or at_the_end
        new = progress.step > progress.evaluated and not self._reached()
        if self.inputs.val_set is not None and new and due:
            self._evaluate(epoch)
        return self._reached()

    def _evaluate(self, epoch: int) -> None:
        progress, recipe, val_set = self.progress, self.recipe, self.inputs.val_set
        assert val_set is not None
        detector = Detector(
            self.net,
            recipe.score_threshold,
            recipe.iou_threshold,
            recipe.max_detections,
            nms_candidates=recipe.nms_candidates,
        )
        share = range(len(val_set))[: recipe.limit_val][self.world.rank :: self.world.size]
        self.console.start(f"evaluation {epoch}/{recipe.epochs}", len(share))
        self.callbacks.evaluation_started(epoch)
        average_statistics(self.world, self.net)
        options: dict[str, Any] = {
            "batch_size": recipe.eval_batch_size,
            "settings": input_settings(recipe),
            "limit": recipe.limit_val,
            "on_batch": self.console.advance,
            "world": self.world,
        }
        if recipe.async_val:
            self._evaluate_aside(epoch, lambda: detect_all(detector, val_set, **options))
            return
        with self._averaged():
            evaluation = evaluate(detector, val_set, **options)
        self.console.stop()
        # Killed between the two checkpoints, a run evaluates again and comes to the same result.
        if self._take(epoch, progress.step, evaluation.scores):
            self._save("best")
            if self.world.first:
                write_evaluation(evaluation, val_set, self.run_dir / "val")
        self._save_last()

    def _take(self, epoch: int, step: int, scores: Scores) -> bool:
        """Notes the scores of an evaluation; True when they are the best so far."""
        progress = self.progress
        self.callbacks.evaluated(epoch, scores.map)
        self.console.say(
            f"epoch {epoch}: mAP {scores.map:.4f}, AP50 {scores.stats['ap50']:.4f} on {scores.images} images"
        )
        self._write_metrics(epoch, {"map": scores.map, "ap50": scores.stats["ap50"]})
        if self.world.first:
            plot_metrics(self.metrics.path, self.run_dir / "metrics.png")
        progress.evaluated = step
        progress.threshold = scores.best.threshold if scores.best else None
        if epoch >= self.recipe.epochs or (self._out_of_steps() and step == progress.step):
            self.console.say(score_table(scores))
        if progress.best_map is not None and scores.map <= progress.best_map:
            progress.stale += 1
            return False
        progress.best_map, progress.best_epoch, progress.stale = scores.map, epoch, 0
        return True

    def _evaluate_aside(self, epoch: int, detect: Callable[[], Any]) -> None:
        """Has detections scored while training goes on, and keeps the network they are from."""
        start = time.perf_counter()
        with self._averaged():
            found = detect()
        self.console.stop()
        kept = snapshot(self._path("best"), *self._parts()) if self.world.first else None
        self.pending.add(epoch, self.progress.step, kept, found, time.perf_counter() - start)
        self.console.say(f"epoch {epoch}: detections are made, their scores follow")

    def _take_scores(self, wait: bool) -> None:
        """Notes the scores that are there by now; with ``wait``, all. Collective."""
        for epoch, step, kept, scores in self.pending.take(wait):
            if self._take(epoch, step, scores) and kept is not None:
                arrays, state = kept
                best = {"best_map": scores.map, "best_epoch": epoch, "threshold": self.progress.threshold}
                best["stale"] = 0
                state["progress"].update(evaluated=step, **best)
                write_archive(self._path("best"), arrays, state)
