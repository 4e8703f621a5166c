"""The training loop: epochs of batches, and when an evaluation, a checkpoint and the end are due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import mxnet as mx

from ..data.batch import Batch
from ..device import images_on
from .build import Training
from .callbacks import CallbackList, RunInfo, TrainBatch
from .callbacks.metrics import EpochMeter
from .checkpoints import Checkpoints
from .distributed import mean_over_ranks
from .evaluator import Evaluator
from .stop_signals import StopSignals


@dataclass
class Loop:
    """Trains until epochs, steps or patience run out or the target is reached. All watchers are callbacks."""

    training: Training
    evaluator: Evaluator
    checkpoints: Checkpoints
    callbacks: CallbackList
    signals: StopSignals
    # The batch that was queued last, and its losses, which nobody has waited for.
    _queued: tuple[TrainBatch, Sequence[Any]] | None = None

    def run(self, info: RunInfo) -> None:
        """Trains from where the training stands to its end."""
        training, progress = self.training, self.training.progress
        with self.signals.held():
            self.callbacks.started(info)
        # A run that was stopped between an epoch and its evaluation goes on with the evaluation.
        self._evaluate_if_due()
        while progress.epoch <= training.recipe.epochs and not training.ends_early:
            # A signal that comes meanwhile ends the run here, when the state is saved.
            with self.signals.held():
                self._train_epoch()
            self._evaluate_if_due()
        if self.evaluator.pending:
            with self.signals.held():
                self._settle()
                self.checkpoints.save_last()
        self.callbacks.ended(training.reached_target)

    def _train_epoch(self) -> None:
        """Trains on the batches that are left of the epoch, and writes a checkpoint."""
        training, progress, recipe = self.training, self.training.progress, self.training.recipe
        training.loader.set_epoch(progress.epoch, progress.batch)
        self.callbacks.epoch_started(progress.epoch)
        self.meter = EpochMeter(training)
        with training.loader:
            for data in islice(training.loader, training.batches - progress.batch):
                self._train_batch(data)
                # A gradient that is accumulated in part is no state that can be saved.
                if progress.batch % recipe.accumulate == 0 and (training.ends_early or self.signals.asked()):
                    break
        self._settle()
        epoch, lr = progress.epoch, training.schedule(progress.epoch, progress.step)
        self.callbacks.epoch_ended(epoch, self.meter.values(lr))
        if progress.batch == training.batches:
            progress.epoch, progress.batch, progress.sums = epoch + 1, 0, {}
            # Before "last": a run that is killed in between does the epoch again, and writes both.
            if recipe.save_every and epoch % recipe.save_every == 0:
                self.checkpoints.save(f"epoch_{epoch:03}")
        self.checkpoints.save_last()

    def _train_batch(self, data: Batch) -> None:
        """Queues one batch, and tells of it while the device computes."""
        training, progress, recipe = self.training, self.training.progress, self.training.recipe
        lr = training.schedule(progress.epoch, progress.step + 1)
        updates = (progress.batch + 1) % recipe.accumulate == 0
        batch = TrainBatch(progress.epoch, progress.batch, progress.step + 1, lr, updates, data)
        self.callbacks.batch_started(batch)
        device = training.inputs.device
        targets = [mx.nd.array(target, ctx=device) for target in data.targets]
        losses = training.step(images_on(device, data), targets, lr)
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
        world, progress = self.training.world, self.training.progress
        # Amid an epoch every rank keeps its own: a checkpoint does not change what the run comes to.
        if progress.batch == self.training.batches:
            self.training.average_statistics()
        if world.size > 1:
            progress.sums = mean_over_ranks(world, progress.sums)

    def _evaluate_if_due(self) -> None:
        """Evaluates after the epochs that the recipe names and at the end, unless it has done so already."""
        training, progress, recipe = self.training, self.training.progress, self.training.recipe
        whole = progress.batch == 0
        epoch = progress.epoch - 1 if whole else progress.epoch
        over = (whole and epoch >= recipe.epochs) or training.out_of_steps
        at_the_end = over and recipe.eval_every > 0 and recipe.eval_epochs is None
        due = at_the_end or (whole and recipe.evaluates_after(epoch))
        new = progress.step > progress.evaluated and not training.reached_target
        if due and new and training.inputs.val_set is not None:
            with self.signals.held():
                self.evaluator.evaluate(epoch)
