"""``gluon-ssd doctor``: what is installed, what a missing piece costs, and a quick check of the network."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .. import environment
from ..environment import ABSENT, BROKEN, OK, Fact
from ..errors import UserError
from ..machine import OtherPrograms
from .parsing import Parser, example

# Beside the package in the repository; an installed package has neither it nor the references' numbers.
VERIFY = Path(__file__).resolve().parents[2] / "scripts" / "docker" / "verify.sh"
MARKS = {OK: ("ok", "green"), ABSENT: ("-", "yellow"), BROKEN: ("BROKEN", "bold red")}


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser: Parser = subparsers.add_parser(
        "doctor",
        help="check the installation",
        description="Show versions, what is installed and what each missing piece costs; check the network.",
        epilog=example(
            "gluon-ssd doctor", "gluon-ssd doctor --model retinanet_resnet50", "gluon-ssd doctor --gpu"
        ),
    )
    group = parser.section("what is checked")
    group.add_argument(
        "--model", metavar="NAME", default="ssd_tiny", help="the network to check (default: ssd_tiny)"
    )
    group.add_argument(
        "--gpu",
        action="store_true",
        help="check the GPUs against the references instead, in at most ten minutes, and write what is found "
        "into verify-HOST.txt (scripts/docker/verify.sh of the repository)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Prints the report; the status is 1 when something required is broken."""
    if args.gpu:
        return verify_gpu()
    others = OtherPrograms()
    needed = environment.required()
    broken = [fact for fact in needed if fact.status == BROKEN]
    # Asked after the imports above, because they settle how many threads MXNet uses.
    facts = environment.machine()
    broken += [fact for fact in facts if fact.status == BROKEN]
    facts += needed
    if not broken:
        facts.append(environment.mxnet_features())
        facts += environment.operators()
        if not any("none found" in fact.value for fact in facts):
            facts.append(environment.gpu_variables())
        check = self_check(args.model)
        facts.append(check)
        broken += [check] if check.status == BROKEN else []
    facts.append(environment.sharing(others))
    show("required", facts)
    show("optional", [*environment.optional(), *horovod_facts()])
    verb = "piece is" if len(broken) == 1 else "pieces are"
    print(f"{len(broken)} required {verb} broken" if broken else "everything required works")
    return 1 if broken else 0


def verify_gpu() -> int:
    """Runs the checks of `scripts/docker/verify.sh` and returns their status.

    Raises UserError where they cannot run.
    """
    if not importlib.import_module("mxnet").context.num_gpus():
        raise UserError(
            f"doctor --gpu: MXNet sees no GPU here; to try the checks on the CPU: {VERIFY.name} --cpu"
        )
    if not VERIFY.is_file():
        raise UserError(
            "doctor --gpu: its checks are in the repository, not in the installed package; "
            "run scripts/docker/verify.sh from a clone of it"
        )
    if importlib.util.find_spec("pytest") is None:
        raise UserError('doctor --gpu: pytest is not installed; pip install "gluon_ssd[dev]"')
    return subprocess.run(["bash", str(VERIFY)], env={**os.environ, "PYTHON": sys.executable}).returncode


def self_check(model: str = "ssd_tiny") -> Fact:
    """Runs the self-check of a network and returns its outcome as one line of the report.

    Raises UserError for a model that there is not.
    """
    try:
        from ..selfcheck import run_selfcheck

        result = run_selfcheck(model)
    except UserError:  # a name that is misspelt tells nothing about the machine
        raise
    except Exception as error:  # whatever it is, it is what the user came to learn
        return Fact(
            "self-check", "failed", BROKEN, f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"
        )
    text = (
        f"{result.model}: forward {result.forward_ms:.0f} ms, "
        f"training step {result.step_ms:.0f} ms, loss {result.loss:.3f}"
    )
    return Fact("self-check", text, BROKEN if result.problem else OK, result.problem or "")


def horovod_facts() -> list[Fact]:
    """Returns Horovod's version, what it was built with, and whether two processes can add with it."""
    try:
        from ..training.horovod_check import horovod_facts
    except Exception:  # MXNet is missing or broken, which is told elsewhere
        return []
    return horovod_facts()


def show(title: str, facts: list[Fact]) -> None:
    """Prints a table of facts."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
    for _ in range(4):
        table.add_column()
    for fact in facts:
        mark, style = MARKS[fact.status]
        table.add_row(f"[{style}]{mark}[/]", fact.name, fact.value, fact.advice.replace("[", r"\["))
    Console().print(table)
    print()
