"""What a training reads, found and checked before its run folder is touched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Union

import mxnet as mx

from ..data.coco import CocoDataset
from ..data.formats.model import DataSet
from ..data.opening import open_dataset
from ..data.published_sets import published_set
from ..data.synthetic import DEFAULT_IMAGES, SyntheticDataset
from ..device import pick_device
from ..errors import UserError
from ..files import as_path
from ..model_zoo import model_row
from ..recipe import Recipe
from ..runs import checkpoint_path, refuse_running
from ..weights.checkpoint import Checkpoint, read_checkpoint
from ..weights.pretrained import Trained, find_backbone, find_trained
from .distributed import World
from .run_folder import find_data, refuse_old_run

# What decides which images make which batch: these may change between two epochs, not within one. The number
# of processes may: the position is counted in images.
_ORDER_KEYS = (
    "seed",
    "batch_size",
    "accumulate",
    "limit_train",
    "data_pipeline",
    "input_batch_multiplier",
)

TrainSet = Union[CocoDataset, SyntheticDataset]


@dataclass(frozen=True)
class Inputs:
    """Everything a training reads. ``resumed`` is its own last checkpoint, ``start_from`` others' weights.

    ``backbone``: the file with the weights that rank 0's backbone starts from.
    """

    recipe: Recipe
    device: mx.Context
    train_set: TrainSet
    val_set: CocoDataset | None
    resumed: Checkpoint | None
    start_from: Trained | None
    backbone: Path | None
    world: World

    def data_lines(self) -> list[str]:
        """Lines that say what was taken otherwise than it stands in the labels of both splits, each once."""
        sets = (self.train_set, self.val_set)
        return list(dict.fromkeys(line for each in sets for line in getattr(each, "lines", ())))

    @property
    def train_images(self) -> int:
        """Images with objects, of all processes: an epoch before what fills no batch is left out."""
        records = self.train_set.records[: self.recipe.limit_train]
        return sum(1 for record in records if len(record.boxes))

    @property
    def val_images(self) -> int:
        """Images of an evaluation."""
        return len(range(len(self.val_set or ()))[: self.recipe.limit_val])


def open_inputs(recipe: Recipe, world: World) -> Inputs:
    """Opens and checks what ``recipe`` names; writes nothing. Raises UserError.

    Only rank 0 looks into the run folder and reads checkpoints; the others have them from it.
    """
    model_row(recipe.model)
    device = pick_device(recipe.device, world.local_rank)
    resumed = world.share(_run_so_far(recipe) if world.first else None)
    if resumed is not None:
        if resumed.progress.processes == world.size:
            resumed = resumed.of_rank(world.rank)
        # The data set may have moved since the run was started.
        splits = ("train", "val") if recipe.evaluates else ("train",)
        run_dir = resumed.path.parent.parent
        recipe = recipe.override(find_data(recipe.to_dict(), resumed.recipe, run_dir, splits))
    converted: dict[Path, DataSet] = {}
    train_set = _training_set(recipe, converted)
    val_set = _validation_set(recipe, train_set, converted)
    if not _target_applies(recipe, val_set):
        recipe = replace(recipe, target_map=None)
    start_from = backbone = None
    if resumed is not None:
        _check_resumed(resumed, recipe, train_set)
    elif recipe.start_epoch > recipe.epochs:
        raise UserError(f"start_epoch is {recipe.start_epoch}, and the last epoch is {recipe.epochs}")
    elif recipe.weights and recipe.pretrained_backbone:
        raise UserError("--weights brings its backbone along; leave out --pretrained-backbone")
    elif recipe.weights:
        names = recipe.model, recipe.weights, train_set.classes, recipe.backbone
        start_from = world.share(find_trained(*names) if world.first else None)
    elif recipe.pretrained_backbone and world.first:
        # The others are given rank 0's weights when the network is built.
        backbone = find_backbone(recipe.model, recipe.pretrained_backbone, recipe.backbone)
    return Inputs(recipe, device, train_set, val_set, resumed, start_from, backbone, world)


def _run_so_far(recipe: Recipe) -> Checkpoint | None:
    """Returns what is resumed. Refuses early what `claim_folder` would refuse once everything is built."""
    if recipe.output is None:
        return None
    run_dir = as_path(recipe.output)
    refuse_running(run_dir)
    if not recipe.resume:
        refuse_old_run(run_dir)
    last = checkpoint_path(run_dir)
    return read_checkpoint(last) if last.is_file() else None


def _training_set(recipe: Recipe, converted: dict[Path, DataSet]) -> TrainSet:
    if recipe.data is None and recipe.train_annotation is None and recipe.data_pipeline == "synthetic":
        classes = model_row(recipe.model).default_classes
        return SyntheticDataset(classes, recipe.limit_train or DEFAULT_IMAGES, recipe.seed)
    files, choice = (recipe.train_annotation, recipe.train_images), (recipe.only, recipe.orientation)
    return open_dataset(recipe.data or ".", "train", *files, *choice, converted=converted)


def _validation_set(
    recipe: Recipe, train_set: TrainSet, converted: dict[Path, DataSet]
) -> CocoDataset | None:
    if isinstance(train_set, SyntheticDataset) or not recipe.evaluates:
        return None
    files, choice = (recipe.val_annotation, recipe.val_images), (train_set.classes, recipe.orientation)
    return open_dataset(recipe.data or ".", "val", *files, *choice, absent_ok=True, converted=converted)


def _target_applies(recipe: Recipe, val_set: CocoDataset | None) -> bool:
    """Returns whether the target counts: a published one does for its own data, or where MLPerf is logged."""
    if not recipe.published_target or recipe.mlperf_log or val_set is None:
        return True
    return published_set(val_set.classes, len(val_set)) is not None


def _check_resumed(resumed: Checkpoint, recipe: Recipe, train_set: TrainSet) -> None:
    path, progress = resumed.path, resumed.progress
    if resumed.model != recipe.model:
        raise UserError(f"{path}: holds a {resumed.model}, not the recipe's {recipe.model}")
    if resumed.classes != train_set.classes:
        raise UserError(
            f"{path}: was trained on other classes than {train_set.annotation} has; "
            "to start anew from it, use --weights with another --output"
        )
    if not progress.batch:
        return
    wanted = recipe.to_dict()
    for key in _ORDER_KEYS:
        before = resumed.recipe.get(key, wanted[key])
        if before != wanted[key]:
            flag = "--" + key.replace("_", "-")
            raise UserError(
                f"{path}: stands in the middle of epoch {progress.epoch}, where {key} cannot change from "
                f"{before} to {wanted[key]}; resume with {flag} {before}"
            )
