"""``gluon-ssd mlperf-check``: runs MLPerf's compliance checker on the log of a run."""

from __future__ import annotations

import argparse
from typing import Any

from .parsing import Parser, example


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser = subparsers.add_parser(
        "mlperf-check",
        help="check an MLPerf log with the published compliance checker",
        description="Check the log that train --mlperf-log writes (or another's) with MLPerf's compliance\n"
        "checker, by the rules it was written for. The status is 1 when the log does not comply.",
        epilog=example(
            "gluon-ssd mlperf-check runs/ssd_resnet34-1", "gluon-ssd mlperf-check result_0.txt --rules 1.1.0"
        ),
    )
    parser.add_argument("log", metavar="LOG", help="log, or run folder (its mlperf.log)")
    group = parser.section("check")
    group.add_argument("--rules", metavar="VERSION", help="version of the rules (default: the log's)")
    group.add_argument("--verbose", action="store_true", help="print all that the checker says")
    return parser


def run(args: argparse.Namespace) -> int:
    """Prints the verdict and what led to it; the status is 1 when the log does not comply."""
    from ..training.mlperf.check_log import check_log

    verdict = check_log(args.log, args.rules)
    if args.verbose:
        print(verdict.output.strip())
    for number, finding in enumerate(verdict.findings, 1):
        print(f"{number}. {'warning: ' if verdict.passed else ''}{finding}")
    outcome = "complies with" if verdict.passed else "does not comply with"
    print(f"{verdict.log} {outcome} the rules of MLPerf Training {verdict.rules}")
    return 0 if verdict.passed else 1
