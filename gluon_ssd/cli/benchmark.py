"""``gluon-ssd benchmark``: how fast a detector runs here, by runtime, precision and batch size."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import atomic_write
from ..runtimes.choices import PRECISIONS
from .parsing import Parser, bounded, example


def add_parser(subparsers: Any) -> Parser:
    """Add this verb to the command line."""
    parser = subparsers.add_parser(
        "benchmark",
        help="time a detector in every runtime that is installed",
        description="Time a detector in every runtime and precision that is installed, each in a process of "
        "its own, one after the other. Close what else computes on the machine.",
        epilog=example(
            "gluon-ssd benchmark runs/ssd_resnet34-1 --output speed.csv",
            "gluon-ssd benchmark model.onnx --batch-size 1 --runtime onnxruntime",
        ),
    )
    parser.add_argument("source", metavar="SOURCE", help="checkpoint, run folder or exported file")
    parser.add_argument(
        "--runtime", nargs="+", choices=tuple(PRECISIONS), help="only these (default: all that are installed)"
    )
    parser.add_argument(
        "--batch-size",
        nargs="+",
        type=bounded("int", low=1),
        default=[1, 8],
        metavar="N",
        help="images at a time (default: 1 8)",
    )
    parser.add_argument(
        "--rounds", type=bounded("int", low=1), default=20, metavar="N", help="batches to time (default: 20)"
    )
    parser.add_argument("--output", metavar="FILE", help="also write the table: .csv or .md")
    return parser


def run(args: argparse.Namespace) -> int:
    """Measure, print a line of each setting and the whole as a table, and write it."""
    from ..benchmark import as_csv, as_markdown, measure, settings_for

    writers = {".csv": as_csv, ".md": as_markdown}
    output = None if args.output is None else Path(args.output).expanduser()
    if output is not None and output.suffix.lower() not in writers:
        raise UserError(f"{output}: the name of such a file ends in .csv or .md")
    speeds = []
    for runtime, precision in settings_for(args.source, args.runtime):
        for batch in args.batch_size:
            plugins = getattr(args, "plugin", ())
            speeds.append(measure(args.source, runtime, precision, batch, args.rounds, plugins))
            print(f"{runtime} {precision}, batch {batch}: {speeds[-1].images_per_s:.1f} images/s", flush=True)
    print(as_markdown(speeds), end="")
    if output is not None:
        with atomic_write(output) as temporary:
            temporary.write_text(writers[output.suffix.lower()](speeds), encoding="utf-8")
        print(f"table in {output}")
    return 0
