"""``gluon-ssd train``: trains with a recipe, a data set, and any recipe key as a flag."""

from __future__ import annotations

import argparse
from typing import Any

from ..launch import detect
from ..recipe import Recipe
from ..runs import resolve_recipe
from .parsing import Parser, add_recipe_flags, example, recipe_values

EPILOG = example(
    "gluon-ssd train --recipe ssd_resnet34/finetune --data my_set",
    "gluon-ssd train --recipe ssd_resnet34/mlperf --data /datasets/coco2017",
    "gluon-ssd train --recipe ssd_resnet34/smoke --data coco128 --epochs 2",
    "gluon-ssd train --resume --output runs/ssd_resnet34-1",
)
# What comes first in the help, since a first training needs no other.
FIRST = "for a first training (docs/own-data.md)"
FIRST_KEYS = (
    "data",
    "output",
    "resume",
    "epochs",
    "batch_size",
    "model",
    "weights",
    "pretrained_backbone",
    "device",
)


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train a model",
        description="Train a model by a recipe, which is a list of settings. Each setting is a flag, too, "
        "and a flag that is given wins over the recipe.",
        epilog=EPILOG,
        usage="gluon-ssd train [--recipe NAME] [--data FOLDER] [--KEY VALUE ...]",
    )
    parser.section(FIRST).add_argument(
        "--recipe", metavar="NAME", help="recipe of the zoo (model/name) or a .yaml file"
    )
    add_recipe_flags(parser, FIRST_KEYS, FIRST)
    add_recipe_flags(parser, [key for key in Recipe().to_dict() if key not in FIRST_KEYS])
    return parser


def run(args: argparse.Namespace) -> int:
    """Trains, and prints where the results are."""
    recipe = resolve_recipe(args.recipe, recipe_values(args))
    recipe.require_data("--data /path/to/coco")

    # After the recipe is checked, so that a mistake in it is reported before MXNet is loaded.
    from ..training.train import run_training

    result = run_training(recipe)
    # Of several processes only the first prints.
    if detect().rank:
        return 0
    if result.best_map is not None:
        print(f"best mAP {result.best_map:.4f}")
    print(f"results in {result.run_dir}")
    return 0
