"""The training loop: epochs of batches, and when an evaluation, a checkpoint and the end are due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mxnet as mx

from ..data.batch import Batch
from ..device import images_on
from .build import Training
from .callbacks import CallbackList, RunInfo, TrainBatch
from .checkpoints import Checkpoints
from .distributed import average_statistics, averaged
from .evaluator import Evaluator
from .meter import EpochMeter
from .stop_signals import StopSignals


class Loop:
    """Trains until epochs, steps or patience run out or the target is reached. All watchers are callbacks."""

    def __init__(
        self,
        training: Training,
        evaluator: Evaluator,
        checkpoints: Checkpoints,
        callbacks: CallbackList,
        signals: StopSignals,
    ) -> None:
        self.training, self.recipe, self.progress = training, training.recipe, training.progress
        self.evaluator, self.checkpoints = evaluator, checkpoints
        self.callbacks, self.signals = callbacks, signals
        self.meter = EpochMeter(training)
        # The batch that was queued last, and its losses, which nobody has waited for.
        self._queued: tuple[TrainBatch, Sequence[Any]] | None = None

    def run(self, info: RunInfo) -> None:
        """Trains, from wherever the training stands to its end."""
        training, progress = self.training, self.progress
        self.callbacks.started(info)
        self._evaluate_if_due()
        while progress.epoch <= self.recipe.epochs and not training.ends_early:
            # A signal that comes meanwhile ends the run here, when the state is saved.
            with self.signals.held():
                self._train_epoch()
            self._evaluate_if_due()
        if self.evaluator.pending:
            self._settle()
            self.checkpoints.save_last()
        self.callbacks.ended(training.reached_target)

    def _train_epoch(self) -> None:
        """Trains on the batches that are left of the epoch, and writes a checkpoint."""
        training, progress, save_every = self.training, self.progress, self.recipe.save_every
        training.loader.set_epoch(progress.epoch, progress.batch)
        self.callbacks.epoch_started(progress.epoch)
        self.meter.start()
        with training.loader:
            for data in training.loader:
                self._train_batch(data)
                if progress.batch == training.batches or training.ends_early:
                    break
                # A gradient that is gathered in part is no state that can be saved.
                if progress.batch % self.recipe.accumulate == 0 and self.signals.asked():
                    break
        self._settle()
        epoch, lr = progress.epoch, training.schedule(progress.epoch, progress.step)
        self.callbacks.epoch_ended(epoch, self.meter.values(lr))
        if progress.batch == training.batches:
            progress.epoch, progress.batch, progress.sums = epoch + 1, 0, {}
            # Before "last": a run that is killed in between does the epoch again, and writes both.
            if save_every and epoch % save_every == 0:
                self.checkpoints.save(f"epoch_{epoch:03}")
        self.checkpoints.save_last()

    def _train_batch(self, data: Batch) -> None:
        training, progress, recipe = self.training, self.progress, self.recipe
        lr = training.schedule(progress.epoch, progress.step + 1)
        updates = (progress.batch + 1) % recipe.accumulate == 0
        batch = TrainBatch(progress.epoch, progress.batch, progress.step + 1, lr, updates, data)
        self.callbacks.batch_started(batch)
        targets = [mx.nd.array(target, ctx=training.device) for target in data.targets]
        losses = training.step(images_on(training.device, data), targets, lr)
        # The losses of the batch before are read while the device works on this one.
        self._read_losses()
        self._queued = batch, losses
        progress.batch += 1
        progress.step += updates
        self.callbacks.batch_ended(batch, self.meter.values(lr))
        every = recipe.checkpoint_steps
        if updates and every and progress.step % every == 0 and progress.batch < training.batches:
            self._settle()
            self.checkpoints.save_last()

    def _read_losses(self) -> None:
        """Waits for the losses of the batch that was queued last."""
        if self._queued is not None:
            batch, losses = self._queued
            self._queued = None
            read = {name: float(loss.asscalar()) for name, loss in zip(self.training.step.loss_names, losses)}
            self.callbacks.losses_read(batch, read)
            self.meter.add(read)

    def _settle(self) -> None:
        """Waits for all that a checkpoint contains: losses, scores, and the means over the ranks."""
        self._read_losses()
        self.evaluator.settle()
        average_statistics(self.training.world, self.training.net)
        if self.training.world.size > 1:
            self.progress.sums = averaged(self.training.world, self.progress.sums)

    def _evaluate_if_due(self) -> None:
        """Evaluates after the epochs that the recipe names, and at the end, what was not evaluated yet."""
        training, progress, recipe = self.training, self.progress, self.recipe
        whole = progress.batch == 0
        epoch = progress.epoch - 1 if whole else progress.epoch
        over = (whole and epoch >= recipe.epochs) or training.out_of_steps
        at_the_end = over and recipe.eval_every > 0 and recipe.eval_epochs is None
        due = at_the_end or (whole and recipe.evaluates_after(epoch))
        new = progress.step > progress.evaluated and not training.reached_target
        if due and new and training.inputs.val_set is not None:
            self.evaluator.evaluate(epoch)
