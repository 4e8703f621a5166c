"""The entry point: finds the verb, runs it, and turns a user's mistake into one line and exit status 2."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import Interrupted, UserError, import_problem, nearest, one_line
from ..launch import detect
from ..plugins import import_plugins, plugins_of_environment
from ..version import __version__
from . import (
    benchmark,
    check,
    convert,
    convert_data,
    demo,
    doctor,
    export,
    mlperf_check,
    models,
    predict,
    prepare_json,
    prepare_records,
    report,
    serve,
    train,
    val,
)
from .parsing import Parser, add_recipe_flags, example

# A place that cannot be written or have its name is for the user to change, wherever in the program it shows,
# and so is a disk that is broken or gone.
BROKEN = {errno.EIO, errno.ESTALE}
DISK_PROBLEMS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG}
DISK_PROBLEMS |= BROKEN
# What a first detector takes comes first, in the order in which it is needed.
VERBS = {
    "convert-data": convert_data,
    "check": check,
    "train": train,
    "val": val,
    "predict": predict,
    "export": export,
    "report": report,
    "serve": serve,
    "demo": demo,
    "models": models,
    "doctor": doctor,
    "benchmark": benchmark,
    "convert": convert,
    "prepare-records": prepare_records,
    "prepare-json": prepare_json,
    "mlperf-check": mlperf_check,
}
FIRST_STEPS = 6
# The page that says more about a verb.
PAGES = {
    "convert-data": "docs/datasets.md",
    "check": "docs/own-data.md",
    "train": "docs/own-data.md",
    "val": "docs/own-data.md",
    "predict": "docs/predict.md",
    "export": "docs/export.md",
    "report": "docs/command-line.md",
    "serve": "docs/serving.md",
    "demo": "docs/first-detector.md",
    "models": "docs/weights.md",
    "doctor": "docs/install.md",
    "benchmark": "docs/export.md",
    "convert": "docs/weights.md",
    "prepare-records": "docs/record-files.md",
    "prepare-json": "docs/datasets.md",
    "mlperf-check": "docs/mlperf.md",
}


def build_parser() -> Parser:
    """Returns the parser of the whole command line. It needs neither MXNet nor OpenCV."""
    parser = Parser(
        prog="gluon-ssd",
        description="Object detection with SSD on Apache MXNet: train, evaluate, predict.",
        epilog=example("gluon-ssd demo"),
    )
    parser.add_argument("--version", action="version", version=f"gluon_ssd {__version__}")
    subparsers = parser.add_subparsers(title="verbs", metavar="VERB", parser_class=Parser)
    for name, module in VERBS.items():
        verb = module.add_parser(subparsers)
        verb.epilog = f"{verb.epilog}\n\npage: {PAGES[name]}"
        if module is not train:  # which has every key of a recipe
            add_recipe_flags(verb, ["plugin"])
        verb.set_defaults(run=module.run, parser=verb)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status.

    0: done; 1: found something broken; 2: a mistake of the user; 128 and more: ended by that signal.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = bool(os.environ.get("GLUON_SSD_DEBUG"))
    _open_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files and classes may be anything; one that the terminal cannot show is no reason to stop.
        with contextlib.suppress(OSError):
            sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            with _interruptible():
                status = _dispatch(arguments)
        except SystemExit as done:  # argparse has printed help or version
            status = int(done.code or 0)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Python flushes stdout again at exit; a closed pipe would print an error there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Interrupted as stopped:
        # Processes that end together would all say the same line, so only rank 0 says it.
        if not stopped.together or detect().rank == 0:
            print(f"{stopped}\n", end="", file=sys.stderr)
        return stopped.status
    except KeyboardInterrupt:
        if debug:
            raise
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        problem = error if isinstance(error, UserError) else import_problem(error) or _disk_problem(error)
        if debug or problem is None:
            raise
        # The name of a file may hold a line break, but an error is one line all the same. It is written in
        # one piece, because where several processes train, Horovod's thread may write at the same moment.
        print(f"error: {one_line(problem)}\n", end="", file=sys.stderr)
        return 2


def _open_streams() -> None:
    """Has a standard stream that this process was started without read and write nothing.

    Python has None in its place, and the next file that is opened gets its number, so that what a library
    prints would go into that file.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - stays open


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Has Ctrl-C end in KeyboardInterrupt, also where OpenCV or others make an error of their own of it."""
    came = False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()
    # Where it is another, somebody else decides or the signal is ignored.
    if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception as error:
        if came:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _disk_problem(error: Exception) -> UserError | None:
    # It was there when it was looked for, and has gone since.
    if isinstance(error, FileNotFoundError) and error.filename:
        return UserError(f"{error.filename}: {error.strerror}")
    if isinstance(error, OSError) and error.errno in DISK_PROBLEMS:
        what = "cannot read or write" if error.errno in BROKEN else "cannot write"
        return UserError(f"{error.filename or what}: {error.strerror}")
    if isinstance(error, FileNotFoundError):
        try:
            os.getcwd()
        except FileNotFoundError:
            return UserError("the current folder was deleted; change into one that is there")
    return None


def _overview(parser: Parser) -> str:
    """Returns what a newcomer is shown: the verbs of a first detector, then the others."""
    listed = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    lines = [f"  {row.dest:16} {row.help}" for row in listed._choices_actions]
    return "\n".join(
        [
            f"usage: {parser.prog} VERB ...",
            "\na first detector, from your own images and labels:",
            *lines[:FIRST_STEPS],
            "\nmore verbs:",
            *lines[FIRST_STEPS:],
            f"\nflags and an example of a verb: {parser.prog} VERB --help",
            "without data of your own begin with: gluon-ssd demo (docs/first-detector.md)",
        ]
    )


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Raises UserError for an argument without a character, which as a path would be the current folder."""
    for before, text in zip(("gluon-ssd", *arguments), arguments):
        flag, equals, value = text.partition("=")
        if not text or (flag.startswith("--") and equals and not value):
            raise UserError(f"nothing is given behind {flag or before}; is a variable of the shell not set?")


def _dispatch(arguments: list[str]) -> int:
    parser = build_parser()
    if not arguments:
        print(_overview(parser))
        return 0
    verb = arguments[0]
    if not verb.startswith("-") and verb not in VERBS:
        close = nearest(verb, VERBS)
        advice = f"did you mean {', '.join(close)}?" if close else f"verbs: {', '.join(VERBS)}"
        raise UserError(f"unknown verb {verb!r}; {advice}")
    _refuse_empty(arguments)
    args, extras = parser.parse_known_args(arguments)
    if extras or not hasattr(args, "run"):
        getattr(args, "parser", parser).reject(extras or arguments)
    # Before the verb runs, so that it finds the models that plugins add.
    plugins = import_plugins([*plugins_of_environment(), *getattr(args, "plugin", ())])
    if plugins:
        args.plugin = plugins
    return args.run(args)
