"""``gluon-ssd train``: a recipe, a data set, and any recipe key as a flag."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..launch import detect
from ..recipe import Recipe, load_recipe
from ..runs import RECIPE_FILE, latest_run
from .parsing import Parser, add_recipe_flags, example, recipe_values

EPILOG = example(
    "gluon-ssd train --recipe ssd_resnet34/mlperf --data /datasets/coco2017",
    "gluon-ssd train --recipe ssd_resnet34/smoke --data coco128 --epochs 2",
    "gluon-ssd train --resume --output runs/ssd_resnet34-1",
)


def add_parser(subparsers: Any) -> Parser:
    """Add this verb to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train a model",
        description="Train a model. Every key of a recipe is a flag; flags win over the recipe.",
        epilog=EPILOG,
        usage="gluon-ssd train [--recipe NAME] [--data FOLDER] [--KEY VALUE ...]",
    )
    parser.add_argument("--recipe", metavar="NAME", help="recipe of the zoo (model/name) or a .yaml file")
    add_recipe_flags(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Train, and say where the results are."""
    recipe = resolve(args.recipe, recipe_values(args))
    synthetic = recipe.data_pipeline == "synthetic"
    if recipe.data is None and recipe.train_annotation is None and not synthetic:
        raise UserError("no data set; give its folder: --data /path/to/coco")

    from ..engine.train import run_training

    result = run_training(recipe)
    if detect().rank:
        return 0
    if result.best_map is not None:
        print(f"best mAP {result.best_map:.4f}")
    print(f"results in {result.run_dir}")
    return 0


def resolve(name: str | None, flags: dict[str, Any]) -> Recipe:
    """Return the recipe that ``--recipe name`` and ``flags`` ask for; a resumed run brings its own recipe."""
    if not flags.get("resume"):
        return load_recipe(name, flags) if name else Recipe().override(flags)
    wanted = load_recipe(name, flags) if name else None
    folder = _resumed_folder(wanted, flags)
    if folder is None:
        # A job that is always started with --resume trains from the beginning the first time.
        if wanted is not None:
            return wanted
        raise UserError("nothing to resume under runs/; name the run: --resume --output runs/NAME")
    recipe = Recipe.from_yaml(folder / RECIPE_FILE)
    if wanted is not None and wanted.model != recipe.model:
        raise UserError(
            f"{folder}: holds a run of {recipe.model}, not of {wanted.model}; use another --output"
        )
    return recipe.override({**flags, "output": str(folder)})


def _resumed_folder(wanted: Recipe | None, flags: dict[str, Any]) -> Path | None:
    output = flags.get("output") or (wanted.output if wanted else None)
    if output is None:
        return latest_run(wanted.model if wanted else flags.get("model"))
    folder = Path(output).expanduser()
    if (folder / RECIPE_FILE).is_file():
        return folder
    if wanted is None:
        raise UserError(f"{folder}: no {RECIPE_FILE} there, so nothing to resume")
    return None
