"""Evaluation while a network is trained, and the checkpoint of the best one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable

from ..console import Console
from .build import Training, input_settings
from .callbacks import Callback, CallbackList, RunInfo, TrainBatch
from .checkpoints import Checkpoints
from .coco_eval import Scores
from .evaluate import detect_all, evaluate, share, write_evaluation
from .scorer import Scorer
from .stop_signals import StopSignals


@dataclass(eq=False)
class Evaluator(Callback):
    """Evaluates the network of ``training``, and keeps it where it is the best so far. Collective.

    ``folder``: where the results of the best evaluation go, ``val/`` of the run folder.
    """

    training: Training
    folder: Path
    checkpoints: Checkpoints
    callbacks: CallbackList
    console: Console
    signals: StopSignals

    @property
    def pending(self) -> bool:
        """Whether scores are still to come."""
        return False

    def evaluate(self, epoch: int) -> None:
        """Evaluates the network as it is, after ``epoch``, and writes checkpoints."""
        training, val_set = self.training, self.training.inputs.val_set
        assert val_set is not None
        # What MLPerf is told comes from the package that its rules name.
        reference = training.recipe.mlperf_log
        evaluation = self._over_images(partial(evaluate, reference=reference), epoch)
        # A run that is killed between the two checkpoints evaluates again and comes to the same result.
        if self._take(epoch, training.progress.step, evaluation.scores):
            self.checkpoints.save("best")
            if training.world.first:
                write_evaluation(evaluation, val_set, self.folder)
        self.checkpoints.save_last()

    def settle(self) -> None:
        """Waits for the scores that are still to come."""

    def _over_images(self, function: Callable[..., Any], epoch: int) -> Any:
        """Returns what ``function``, `evaluate` or `detect_all`, makes of the validation images."""
        training, recipe, val_set = self.training, self.training.recipe, self.training.inputs.val_set
        assert val_set is not None
        detector = training.detector()
        mine = share(range(len(val_set))[: recipe.limit_val], training.world, recipe.eval_ranks)
        self.console.start(f"evaluation {epoch}/{recipe.epochs}", len(mine))
        self.callbacks.evaluation_started(epoch)
        # All ranks evaluate the same network.
        training.average_statistics()
        with training.averaged():
            result = function(
                detector,
                val_set,
                batch_size=recipe.eval_batch_size,
                settings=input_settings(recipe),
                limit=recipe.limit_val,
                on_batch=self._detected,
                world=training.world,
                ranks=recipe.eval_ranks,
            )
        self.console.stop()
        return result

    def _detected(self, images: int) -> None:
        self.console.advance(images)
        # All that was trained is saved already.
        self.signals.raise_waiting()

    def _take(self, epoch: int, step: int, scores: Scores) -> bool:
        """Tells of the scores of the network after ``step``; returns whether they are the best so far."""
        progress = self.training.progress
        progress.evaluated = step
        progress.threshold = None if scores.best is None else scores.best.threshold
        self.callbacks.scored(epoch, scores)
        if progress.best_map is not None and scores.map <= progress.best_map:
            progress.stale += 1
            return False
        progress.best_map, progress.best_epoch, progress.stale = scores.map, epoch, 0
        return True


class AsyncEvaluator(Evaluator):
    """Has the scores computed in a process of rank 0 while the training goes on."""

    _scorer: Scorer | None = None

    def started(self, info: RunInfo) -> None:
        # The evaluations whose scores are still to come, the oldest first: epoch, step, state for "best".
        self._unscored: list[tuple[int, int, Any]] = []
        val_set, reference = self.training.inputs.val_set, self.training.recipe.mlperf_log
        if not info.rank and val_set is not None:
            self._scorer = Scorer(val_set, self.folder, info.progress.best_map, reference)

    @property
    def pending(self) -> bool:
        return bool(self._unscored)

    def evaluate(self, epoch: int) -> None:
        start = time.perf_counter()
        found = self._over_images(detect_all, epoch)
        # The network is trained on before it is known whether this is the best.
        self._unscored.append((epoch, self.training.progress.step, self.checkpoints.keep()))
        if self._scorer is not None:
            self._scorer.submit(found, time.perf_counter() - start)
        self.console.say(f"epoch {epoch}: detections are made, their scores follow")

    def batch_ended(self, batch: TrainBatch, values: Mapping[str, float]) -> None:
        if (batch.number + 1) % self.training.recipe.log_every == 0:
            self._take_scores(wait=False)

    def settle(self) -> None:
        self._take_scores(wait=True)

    def _take_scores(self, wait: bool) -> None:
        """Takes the scores that are there by now; with ``wait``, all."""
        if not self._unscored:
            return
        for scores in self.training.world.share(self._scorer and self._scorer.results(wait)):
            epoch, step, kept = self._unscored.pop(0)
            if self._take(epoch, step, scores):
                threshold = self.training.progress.threshold
                best = {"best_map": scores.map, "best_epoch": epoch, "threshold": threshold, "stale": 0}
                self.checkpoints.save_best(kept, evaluated=step, **best)

    def close(self) -> None:
        """Ends the process; what it has not scored yet is dropped."""
        if self._scorer is not None:
            self._scorer.close()
