"""Training from Python: `gluon_ssd.train`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..recipe import Recipe
from ..runs import resolve_recipe
from .callbacks import Callback
from .result import TrainResult
from .train import run_training


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
