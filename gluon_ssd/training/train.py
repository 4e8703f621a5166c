"""Training from a recipe: what starts it, and what it leaves to whoever has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..console import Console
from ..errors import import_problem
from ..plugins import import_plugins
from ..recipe import Recipe
from ..runs import LOG_FILE, checkpoint_path, resolve_recipe
from .build import Training, build_training
from .callbacks import Callback, CallbackList, RunInfo
from .callbacks.base import check_callbacks
from .callbacks.batch_picture import BatchPicture
from .callbacks.console import ConsoleReport
from .callbacks.json_summary import JsonSummary
from .callbacks.loss_watch import LossWatch
from .callbacks.metrics import MetricsLog, read_rows
from .callbacks.profiler import StepProfiler
from .callbacks.run_report import RunReport
from .callbacks.step_parts import StepParts
from .callbacks.straggler import StragglerReport
from .checkpoints import Checkpoints
from .distributed import connect
from .evaluator import AsyncEvaluator, Evaluator
from .inputs import open_inputs
from .loop import Loop
from .mlperf.log import callbacks_of
from .run_folder import claim_folder
from .stop_signals import StopSignals, stopped_at, way_on
from .warm_up import warm_up


@dataclass(frozen=True)
class TrainResult:
    """``best_map``: the best mAP, None when nothing was evaluated. ``steps``: optimizer steps in all."""

    run_dir: Path
    best_map: float | None
    steps: int
    reached_target: bool

    @property
    def best(self) -> Path | None:
        """The checkpoint of the best evaluation; None when nothing was evaluated."""
        path = checkpoint_path(self.run_dir, "best")
        return path if path.is_file() else None

    @property
    def last(self) -> Path:
        """The checkpoint at the end of the run."""
        return checkpoint_path(self.run_dir)

    @property
    def metrics(self) -> list[dict[str, float | None]]:
        """The rows of metrics.csv, one per epoch; None where an epoch has no such value."""
        return read_rows(self.run_dir / "metrics.csv")


def train(
    recipe: str | os.PathLike[str] | Recipe | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
    **keys: Any,
) -> TrainResult:
    """Trains a model, as ``gluon-ssd train`` does, and returns where its results are.

    ``recipe``: the name of one in the zoo, ``"ssd_tiny/demo"``, or the path of a .yaml file; without one, the
    defaults of every key. ``keys``: keys of the recipe, which win over it: ``train("ssd_tiny/demo",
    data="my_set", epochs=20)``; ``resume=True, output="runs/mine"`` goes on with a run.
    ``callbacks``: objects that are told of every stage, see `Callback`. ``quiet``: nothing is printed.

    Raises UserError for an unknown recipe or key, which names the nearest, for a value that does not fit, a
    data set that cannot be used, an output folder that holds another run, and a loss that is not finite.
    """
    wanted = resolve_recipe(recipe, keys, "train()")
    wanted.require_data('train(..., data="/path/to/coco")')
    return run_training(wanted, quiet, callbacks)


def run_training(recipe: Recipe, quiet: bool = False, callbacks: Sequence[Callback] = ()) -> TrainResult:
    """Trains as ``recipe`` says and returns where the results are.

    ``callbacks`` are told of every stage, after those of the library; ``quiet`` prints nothing.
    With ``recipe.resume`` it goes on from the run folder's last checkpoint, on the same trajectory. The
    recipe's plugins are imported first. Several processes started together train one network; rank 0 writes
    and speaks. Raises UserError for bad input, an unusable run folder, and a loss that is not finite. SIGINT
    and SIGTERM end it at the next step, with a checkpoint, and raise Interrupted.
    """
    recipe = replace(recipe, plugin=import_plugins(recipe.plugin))
    world = connect(recipe.bn_group, recipe.fusion_mb)
    of_the_user = check_callbacks(callbacks)
    with world.together():
        # MLPerf's clock starts before anything is opened, and stops before the others have written anything.
        first = [*callbacks_of(recipe, world.rank), StepProfiler(recipe.profile)]
        if recipe.json_summary and world.first:
            first.append(JsonSummary(recipe.json_summary))
        if recipe.tensorboard and world.first:
            first.append(tensorboard_log())
        with closing(CallbackList([*first, *of_the_user])) as all_callbacks, StopSignals(world) as signals:
            inputs = open_inputs(recipe, world)
            if inputs.recipe.model_warmup:
                warm_up(inputs)
            training = build_training(inputs)
            resumed = training.inputs.resumed is not None
            with closing(claim_folder(training.recipe, world, resumed)) as folder:
                run_dir = folder.path
                console = Console(run_dir / LOG_FILE if world.first else None, quiet or not world.first)
                world.advise(lambda: way_on(run_dir), console.note)
                checkpoints = Checkpoints(training, run_dir, all_callbacks)
                kind = AsyncEvaluator if training.recipe.async_val else Evaluator
                evaluator = kind(training, run_dir / "val", checkpoints, all_callbacks, console, signals)
                between = [*_own_callbacks(training, console), evaluator]
                all_callbacks.callbacks[len(first) : len(first)] = between
                loop = Loop(training, evaluator, checkpoints, all_callbacks, signals)
                try:
                    loop.run(_info(training, run_dir))
                except KeyboardInterrupt as error:
                    stop = stopped_at(error, training.progress, run_dir, checkpoints.saved)
                    console.note(str(stop))
                    raise stop from None
    progress = training.progress
    return TrainResult(run_dir, progress.best_map, progress.step, training.reached_target)


def tensorboard_log() -> Callback:
    """Returns the callback that writes for TensorBoard. Raises UserError where its package is missing."""
    try:
        from .callbacks.tensorboard import TensorBoardLog

        return TensorBoardLog()
    except ImportError as error:
        raise (import_problem(error) or error) from None


def _own_callbacks(training: Training, console: Console) -> list[Callback]:
    """Returns the callbacks of every training, in the order in which they are told."""
    # First of all, a loss that is not finite ends the run before anybody works with it.
    callbacks: list[Callback] = [LossWatch()]
    if training.world.size > 1:
        callbacks.append(StragglerReport(training.world, console))
    callbacks.append(ConsoleReport(training, console))
    if training.average is not None:
        callbacks.append(training.average)
    if training.world.first:
        parts = StepParts()
        callbacks += [parts, MetricsLog(), BatchPicture(), RunReport(parts)]
    return callbacks


def _info(training: Training, run_dir: Path) -> RunInfo:
    inputs = training.inputs
    return RunInfo(
        training.recipe,
        run_dir,
        training.net,
        training.schedule,
        train_images=inputs.train_images,
        val_images=inputs.val_images,
        resumed=inputs.resumed is not None,
        processes=training.world.size,
        rank=training.world.rank,
        bn_group=training.recipe.bn_group,
        batches=training.batches,
        train_step=training.step,
        progress=training.progress,
    )
