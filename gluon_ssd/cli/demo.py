"""``gluon-ssd demo``: trains, scores and draws with a small detector, with nothing to download."""

from __future__ import annotations

import argparse
from typing import Any

from ..files import as_path
from .parsing import Parser, bounded, example


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser = subparsers.add_parser(
        "demo",
        help="train, score and draw in minutes, nothing to download",
        description="Make a data set of shapes, train a small SSD on it, score it and draw what it finds.",
        epilog=example("gluon-ssd demo", "gluon-ssd demo --data-only shapes --images 100"),
    )
    group = parser.section("demo")
    group.add_argument(
        "--output", metavar="FOLDER", default="runs/demo", help="folder for all of it (default: runs/demo)"
    )
    group.add_argument(
        "--epochs", type=bounded("int", low=1), metavar="N", help="epochs to train; fewer for a quicker look"
    )
    group.add_argument(
        "--seed",
        type=bounded("int", low=0, high=2**31 - 1),
        default=0,
        metavar="N",
        help="seed of pictures, weights and order (default: 0)",
    )
    group.add_argument(
        "--images",
        type=bounded("int", low=5),
        default=500,
        metavar="N",
        help="pictures to make, one in five for validation (default: 500)",
    )
    group.add_argument("--data-only", metavar="FOLDER", help="only make the data set, in this folder")
    return parser


def run(args: argparse.Namespace) -> int:
    """Runs the demo, which prints its own progress, table and the paths of its pictures."""
    from ..demo import make_data, run_demo

    if args.data_only is not None:
        make_data(as_path(args.data_only), args.images, args.seed)
    else:
        run_demo(as_path(args.output), args.seed, args.epochs, args.images)
    return 0
