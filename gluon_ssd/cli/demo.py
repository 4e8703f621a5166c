"""``gluon-ssd demo``: a detector that learns, is scored and draws, with nothing to download."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .parsing import Parser, bounded, example


def add_parser(subparsers: Any) -> Parser:
    """Add this verb to the command line."""
    parser = subparsers.add_parser(
        "demo",
        help="train, score and draw in minutes, nothing to download",
        description="Make a data set of shapes, train a small SSD on it, score it and draw what it finds.",
        epilog=example("gluon-ssd demo", "gluon-ssd demo --output /tmp/demo --seed 1"),
    )
    parser.add_argument("--output", metavar="FOLDER", default="runs/demo", help="default: runs/demo")
    parser.add_argument("--epochs", type=bounded("int", low=1), metavar="N", help="fewer for a quicker look")
    parser.add_argument(
        "--seed", type=bounded("int", low=0, high=2**31 - 1), default=0, metavar="N", help="default: 0"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the demo; it prints its own progress, table and the pictures' paths."""
    from ..demo import run_demo

    run_demo(Path(args.output).expanduser(), seed=args.seed, epochs=args.epochs)
    return 0
