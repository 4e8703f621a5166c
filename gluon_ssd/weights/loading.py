"""Builds the network of a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..device import pick_device
from ..errors import UserError
from ..model_zoo import get_model, list_models
from ..model_zoo.transfer import set_parameters
from ..plugins import import_plugins
from .checkpoint import Checkpoint, find_checkpoint, read_checkpoint


def load(where: str | os.PathLike[str], device: str = "auto") -> Any:
    """Returns the network of a checkpoint, with its classes and preprocessing.

    ``where`` is a checkpoint file, a run folder (whose best checkpoint is taken), or ``RUN/best`` and
    ``RUN/last``. ``device`` is ``auto``, ``cpu`` or ``gpu``. A model that is not in the zoo comes from the
    plugin that the recipe names, a Python file or module on this machine, which is imported. Raises UserError
    when there is no such checkpoint, it is damaged, or there is no such device.
    """
    return restore(read_checkpoint(find_checkpoint(Path(where))), device)


def restore(checkpoint: Checkpoint, device: str = "auto", local_rank: int = 0) -> Any:
    """Returns the network of a checkpoint that was read.

    ``device`` and ``local_rank`` are those of `pick_device`. Raises UserError when the checkpoint does not
    fit its model, and where there is no such device.
    """
    context = pick_device(device, local_rank)
    if checkpoint.model not in list_models():
        _import_plugins_of(checkpoint)
    # The options become keywords of `get_model`, beside these three.
    taken = sorted({"name", "classes", "ctx"} & set(checkpoint.options))
    if taken:
        raise UserError(f"{checkpoint.path}: not a checkpoint of this library; {taken[0]} is no option")
    try:
        net = get_model(checkpoint.model, checkpoint.classes, ctx=context, **checkpoint.options)
    except UserError as error:
        raise UserError(f"{checkpoint.path}: {error}") from None
    net.preprocess = checkpoint.preprocess
    net.category_ids = checkpoint.category_ids
    net.best_threshold = checkpoint.progress.threshold
    set_parameters(net, checkpoint.parameters, str(checkpoint.path))
    return net


def _import_plugins_of(checkpoint: Checkpoint) -> None:
    """Imports the plugins with which ``checkpoint`` was trained, so that its model is known."""
    names = checkpoint.recipe.get("plugin") or ()
    hint = f"give the one that adds {checkpoint.model}: --plugin FILE"
    # A training stores absolute paths of files. A relative one would let a checkpoint from elsewhere run a
    # file of the current folder.
    if not all(isinstance(name, str) and Path(name).is_absolute() == name.endswith(".py") for name in names):
        raise UserError(f"{checkpoint.path}: its recipe names plugins {names!r}; {hint}")
    try:
        import_plugins(names)
    except UserError as error:
        raise UserError(f"{checkpoint.path}: {error}; {hint}") from None
