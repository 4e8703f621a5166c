"""``gluon-ssd check``: finds what is wrong with a data set, before a training is spent on it."""

from __future__ import annotations

import argparse
from typing import Any

from .parsing import Parser, add_orientation, bounded, example


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser = subparsers.add_parser(
        "check",
        help="find what is wrong with a data set",
        description="Check a data set of any known format or in record files: images missing, corrupt, "
        "doubled or "
        "of another size, boxes, classes, sizes against a model's anchors. Writes a page with pictures. "
        "Exit code 1: a training would stop or be spoilt.",
        epilog=example(
            "gluon-ssd check /datasets/coco2017", "gluon-ssd check coco128 --model ssd_tiny --decode"
        ),
    )
    parser.add_argument(
        "data", metavar="DATA", help="folder of the data set, its YAML or JSON file, or record files"
    )
    parser.section("report").add_argument(
        "--output", metavar="FOLDER", help="folder of the report (default: the next runs/check-<N>)"
    )
    how = parser.section("what is checked")
    how.add_argument(
        "--model",
        default="ssd_resnet34",
        metavar="NAME",
        help="model whose anchors and input the boxes are held against (default: ssd_resnet34)",
    )
    how.add_argument(
        "--decode", action="store_true", help="decode every image whole, not just header and end (slow)"
    )
    how.add_argument(
        "--workers", type=bounded("int", low=1), default=4, metavar="N", help="threads that read (default: 4)"
    )
    data = parser.section("data set")
    for split in ("train", "val"):
        for what, metavar in (("annotation", "FILE"), ("images", "FOLDER")):
            data.add_argument(
                f"--{split}-{what}", metavar=metavar, help=f"{split} {what}, if not where COCO has them"
            )
    add_orientation(data)
    return parser


def run(args: argparse.Namespace) -> int:
    """Checks the data set and writes the report; the status is 1 when training would be harmed."""
    from ..report.data_check import run_check

    check = run_check(
        args.data,
        args.model,
        args.output,
        train=(args.train_annotation, args.train_images),
        val=(args.val_annotation, args.val_images),
        decode=args.decode,
        workers=args.workers,
        orientation=args.orientation,
    )
    return 1 if check.harmful else 0
