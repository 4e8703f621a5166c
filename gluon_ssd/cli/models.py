"""``gluon-ssd models``: what is in the zoo."""

from __future__ import annotations

import argparse
from typing import Any

from ..resources import card_path, recipe_names
from .parsing import Parser, example


def add_parser(subparsers: Any) -> Parser:
    """Add this verb to the command line."""
    parser = subparsers.add_parser(
        "models",
        help="list the models and recipes",
        description="List the models of the zoo and their recipes, or show one model's card.",
        epilog=example("gluon-ssd models", "gluon-ssd models ssd_resnet34"),
    )
    parser.add_argument("name", nargs="?", help="show this model's card")
    return parser


def run(args: argparse.Namespace) -> int:
    """Print the table, or one model's row and card."""
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.table import Table

    from ..model_zoo import list_models, model_row

    names = [args.name] if args.name else list_models()
    rows = [model_row(name) for name in names]
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("model", "backbone", "input", "recipes"):
        table.add_column(title, no_wrap=title == "model")
    for row in rows:
        recipes = ", ".join(name for name in recipe_names() if name.split("/")[0] == row.name)
        height, width = row.input_size
        table.add_row(row.name, row.backbone, f"{height}x{width}", recipes or "-")
    console.print(table)
    if args.name:
        print(f"\n{rows[0].summary}\nsource: {rows[0].source}")
        card = card_path(args.name)
        if card.is_file():
            text = card.read_text(encoding="utf-8")
            console.print(Markdown(text)) if console.is_terminal else print(f"\n{text}", end="")
    return 0
