"""``gluon-ssd serve``: a detector as an HTTP server, with a page to try it."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import import_problem
from ..runtimes.choices import PRECISIONS
from .parsing import Parser, bounded, example
from .val import COMPUTE, add_detection_flags, add_runtime


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser: Parser = subparsers.add_parser(
        "serve",
        usage="gluon-ssd serve SOURCE [FLAG ...]",
        help="serve a detector over HTTP, with a page to try it",
        description="Serve a detector over HTTP: POST /v1/detect, a page at /, metrics and health checks "
        "(docs/serving.md). The token that requests have to bring is in --token-file, or in the environment "
        "variable GLUON_SSD_SERVE_TOKEN; without either, whoever reaches the port is served.",
        epilog=example(
            "gluon-ssd serve runs/ssd_resnet34-1",
            "gluon-ssd serve model.onnx --host 0.0.0.0 --port 80 --workers 4 --token-file token.txt",
        ),
    )
    parser.add_argument("source", metavar="SOURCE", help="checkpoint, run folder or exported file")
    _add_access(parser)
    _add_limits(parser)
    best = "of requests that give none: that of the best F1 in the last evaluation, else 0.3"
    add_detection_flags(parser, best, "0.5, or an exported file's own", "200, or an exported file's own")
    compute = parser.section(COMPUTE)
    _add_count(compute, "--workers", 1, "processes, each with the detector")
    _add_count(compute, "--batch-size", 8, "images that go through the network together at most")
    precisions = sorted({name for names in PRECISIONS.values() for name in names}, reverse=True)
    compute.add_argument(
        "--precision", choices=precisions, default="fp32", help="compute in this (default: fp32)"
    )
    add_runtime(parser)
    return parser


def _add_access(parser: Parser) -> None:
    group = parser.section("address and access")
    group.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine alone)"
    )
    port = bounded("int", low=0, high=65535)
    group.add_argument(
        "--port", type=port, default=8000, metavar="N", help="port; 0: any free one (default: 8000)"
    )
    group.add_argument("--token-file", metavar="FILE", help="holds the token that requests have to bring")
    group.add_argument(
        "--cors", nargs="+", default=(), metavar="ORIGIN", help="origins whose pages may use it: default none"
    )
    group.add_argument("--no-access-log", action="store_true", help="no line of JSON for each request")


def _add_limits(parser: Parser) -> None:
    group = parser.section("limits")
    _add_count(group, "--queue", 128, "images that are accepted and not yet answered, at most")
    group.add_argument(
        "--timeout",
        type=bounded("float", above=0),
        default=30.0,
        metavar="S",
        help="seconds for a request to arrive, and again to be answered (default: 30)",
    )
    _add_count(group, "--max-bytes", 20_000_000, "bytes of a request")
    _add_count(group, "--max-pixels", 50_000_000, "pixels of an image")
    _add_count(group, "--max-images", 16, "images of a request")


def _add_count(group: argparse._ActionsContainer, name: str, default: int, words: str) -> None:
    kind = bounded("int", low=1)
    group.add_argument(name, type=kind, default=default, metavar="N", help=f"{words} (default: {default:,})")


def run(args: argparse.Namespace) -> int:
    """Serves until it is told to stop."""
    try:
        from ..serving.server import serve
        from ..serving.settings import Settings
    except ImportError as error:
        raise (import_problem(error) or error) from None
    names = Settings.__dataclass_fields__.keys() & vars(args).keys()
    given = {name: getattr(args, name) for name in names}
    plugins = tuple(getattr(args, "plugin", ()))
    given.update(cors=tuple(args.cors), access_log=not args.no_access_log, plugins=plugins)
    serve(Settings(**given), args.host, args.port, args.workers)
    return 0
