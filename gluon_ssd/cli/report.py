"""``gluon-ssd report``: the page of a run, and of several beside each other."""

from __future__ import annotations

import argparse
from typing import Any

from .parsing import Parser, example


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser: Parser = subparsers.add_parser(
        "report",
        help="show a run on one page, or compare several",
        description="Write report.html of each run or evaluation again, from what is in its folder; of "
        "several also a page that compares them. A training and val write it by themselves.",
        epilog=example(
            "gluon-ssd report runs/ssd_tiny-1", "gluon-ssd report runs/ssd_tiny-1 runs/ssd_tiny-2"
        ),
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="run folder, a checkpoint in it, or a folder that val has written",
    )
    parser.section("comparison").add_argument(
        "--output",
        metavar="FOLDER",
        help="where the comparison goes (default: the next runs/compare-<N>)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes the pages and prints where they are."""
    from ..errors import UserError
    from ..files import as_path, make_folder
    from ..report.run_files import PAGE
    from ..report.run_page import write_comparison, write_report
    from ..runs import make_run_dir

    if len(args.runs) == 1 and args.output:
        raise UserError("--output is for the page that compares several runs; name more than one")
    for place in args.runs:
        print(write_report(place))
    if len(args.runs) > 1:
        folder = as_path(args.output) if args.output else make_run_dir("compare")
        make_folder(folder)
        write_comparison(args.runs, folder / PAGE)
        print(f"compared in {folder / PAGE}")
    return 0
