"""Who watches a training without being part of it: told of each stage, never asked for anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from ..recipe import Recipe
from .schedule import StepSchedule


@dataclass(frozen=True)
class RunFacts:
    """What is settled once a training is built.

    ``train_images``: those with objects, an epoch before what does not fill a batch is left out.
    ``bn_group``: processes that share norm statistics. ``resumed``: the run goes on from its own checkpoint.
    """

    recipe: Recipe
    run_dir: Path
    net: Any
    schedule: StepSchedule
    train_images: int
    val_images: int
    resumed: bool = False
    processes: int = 1
    bn_group: int = 1


class RunObserver:
    """Watches nothing. Epochs count from 1; mAP is from 0 to 1."""

    def started(self, facts: RunFacts) -> None:
        """Everything is built, no training image was read yet."""

    def epoch_started(self, epoch: int) -> None:
        """The first batch of ``epoch``, or of what is left of it, comes next."""

    def epoch_ended(self, epoch: int, values: Mapping[str, float]) -> None:
        """``values``: images_per_second, lr and mean losses of what was trained of ``epoch``."""

    def evaluation_started(self, epoch: int) -> None:
        """The network as it is after ``epoch`` will be evaluated."""

    def evaluated(self, epoch: int, score: float) -> None:
        """The mAP after ``epoch``."""

    def ended(self, reached: bool) -> None:
        """The run is over; ``reached``: because the target mAP was."""

    def close(self) -> None:
        """Nothing more will come, whether or not the run ended well. May be called twice."""


def observer_for(recipe: Recipe, rank: int = 0) -> RunObserver:
    """The observer that ``recipe`` asks for; only the process of rank 0 has one that writes.

    Call it first of all: a log's time of initialisation begins here. Raises UserError where the recipe or the
    environment does not suit the log.
    """
    if not recipe.mlperf_log or rank:
        return RunObserver()
    from .mlperf.log import MlperfLog

    return MlperfLog(recipe)
