"""``python -m gluon_ssd.main``: the command lines of the published trainings, run by ``gluon-ssd``.

It understands the options of DeepLearningExamples, of DALI's example and the SSD_ResNet50 sample, of MLPerf's
`ssd_main.py` and of its RetinaNet; `published.options` is the table of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .cli.main import main as gluon_ssd
from .errors import UserError
from .launch import detect
from .published import build_parser, pick_system, translate


def main(argv: Sequence[str] | None = None) -> int:
    """Translates the command line, prints the translation, runs it, and returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        system = _take(arguments, "--system")
        dry_run = _switch(arguments, "--dry-run")
        if not arguments or "-h" in arguments or "--help" in arguments:
            _help(arguments, system)
            return 0
        translation = translate(arguments, system)
    except UserError as error:
        print("error:", error, file=sys.stderr)
        return 2
    # Every process of a training translates the same line, so only one prints it.
    first = detect().rank == 0
    if dry_run or first:
        for note in translation.notes:
            print(note, file=sys.stderr)
    if dry_run:
        print(translation.line)
        return 0
    if first:
        print(f"options of {translation.system.name}: {translation.line}", file=sys.stderr, flush=True)
    return gluon_ssd(translation.arguments)


def _help(arguments: list[str], system: str | None) -> None:
    rest = [text for text in arguments if text not in ("-h", "--help")]
    build_parser(pick_system(rest, system)).print_help()


def _take(arguments: list[str], name: str) -> str | None:
    """Removes ``name VALUE`` or ``name=VALUE`` from ``arguments`` and returns the value."""
    for position, text in enumerate(arguments):
        if text == name:
            if position + 1 == len(arguments):
                raise UserError(f"{name}: expected a name (see: python -m gluon_ssd.main --help)")
            value = arguments[position + 1]
            del arguments[position : position + 2]
            return value
        if text.startswith(name + "="):
            del arguments[position]
            return text[len(name) + 1 :]
    return None


def _switch(arguments: list[str], name: str) -> bool:
    """Removes every ``name`` from ``arguments``, and returns whether there was one."""
    given = name in arguments
    arguments[:] = [text for text in arguments if text != name]
    return given


if __name__ == "__main__":
    sys.exit(main())
