"""``gluon-ssd models``: what is in the zoo; and ``models pull``: fetches published weights into the store."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import unknown
from ..resources import card_path, recipe_names
from .parsing import Parser, example

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PULL = "pull"
# The lines where the computed parts of a card begin and end, see report/cards.py.
MARKER = re.compile(r"^<!-- .* -->\n", re.MULTILINE)
COSTS = ("parameters", "forward pass")


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser = subparsers.add_parser(
        "models",
        help="list the models and recipes, pull published weights",
        description="List the models of the zoo and their recipes, show one model's card, or pull published\n"
        "weights into the store: ~/.gluon_ssd/models, or models/ under GLUON_SSD_HOME. They come from\n"
        "GLUON_SSD_MIRROR, a folder or the start of a URL, where that is set. pull alone lists them.",
        epilog=example(
            "gluon-ssd models", "gluon-ssd models ssd_resnet34", "gluon-ssd models pull resnet34-mlperf"
        ),
    )
    parser.add_argument("name", nargs="?", metavar="MODEL|pull", help="show this model's card; or pull")
    parser.add_argument("weights", nargs="*", metavar="WEIGHTS", help="after pull: names of weight files")
    return parser


def run(args: argparse.Namespace) -> int:
    """Prints the table of models, or one model's row and card, or fetches weights."""
    if args.name == PULL:
        return _pull(args.weights) if args.weights else _list_weights()
    if args.weights:
        from ..model_zoo import list_models

        if args.name not in list_models():
            raise unknown("model", args.name, [*list_models(), PULL])
        args.parser.reject(args.weights)
    return _show(args.name)


def _table(*titles: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        right = title in ("params", "GFLOP", "MB")
        table.add_column(title, no_wrap=title in (titles[0], "file"), justify="right" if right else "left")
    return table


def _console() -> Console:
    """The console to print on. Without a terminal to fit, a row stays one line, for grep and the like."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120)


def _show(name: str | None) -> int:
    from rich.markdown import Markdown

    from ..model_zoo import list_models, model_row

    by_kind = [*list_models("detector"), *list_models("backbone")]
    rows = [model_row(model) for model in (by_kind if name is None else [name])]
    console = _console()
    table = _table("model", "input", "params", "GFLOP", "recipes")
    for row in rows:
        recipes = [path.split("/")[1] for path in recipe_names() if path.startswith(f"{row.name}/")]
        height, width = row.input_size
        table.add_row(row.name, f"{height}x{width}", *_costs(row.name), ", ".join(recipes) or "-")
    console.print(table)
    if name:
        print(f"\n{rows[0].summary}\nsource: {rows[0].source}")
        card = card_path(name)
        if card.is_file():
            text = MARKER.sub("", card.read_text(encoding="utf-8"))
            console.print(Markdown(text)) if console.is_terminal else print(f"\n{text}", end="")
    else:
        print("\nGFLOP: of one image's forward pass, multiply and add counted as two.")
        print("A recipe is used as: gluon-ssd train --recipe MODEL/RECIPE --data FOLDER")
    return 0


def _costs(model: str) -> list[str]:
    """Parameters and GFLOP from the computed part of a model's card, because computing them needs MXNet."""
    card = card_path(model)
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    found = (re.search(rf"^\| {fact} \| ([\d.]+ M|[\d.]+)", text, re.MULTILINE) for fact in COSTS)
    return [match[1] if match else "-" for match in found]


def _list_weights() -> int:
    from ..weights import WEIGHTS, stored_path

    table = _table("weights", "MB", "here", "file", "what")
    for row in WEIGHTS.values():
        here = "yes" if stored_path(row.name).is_file() else "no"
        what = row.content if row.digest[1] else f"{row.content}, no digest"
        table.add_row(row.name, str(row.megabytes), here, row.file, what)
    _console().print(table)
    return 0


def _pull(names: Sequence[str]) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from ..weights import pull
    from ..weights.store import weight_file

    rows = [weight_file(name) for name in names]  # a misspelt one stops before the first is fetched
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    for row in rows:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(row.file, total=None, start=False)

            def show(done: int, total: int | None) -> None:
                bar.start_task(task)  # noqa: B023  (called within this turn of the loop)
                bar.update(task, completed=done, total=total)  # noqa: B023

            path = pull(row.name, show)
        print(path)
    return 0
