"""argparse with one-line errors, suggestions for misspelt flags, and the keys of a recipe as flags."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Callable, NoReturn

from ..data.choices import ORIENTATIONS
from ..errors import UserError, nearest
from ..recipe import Recipe
from ..values import Bounds, convert_text

GROUPS = {
    "model": "model",
    "data": "data",
    "schedule": "schedule",
    "evaluation": "evaluation",
    "processes": "several processes (docs/distributed.md)",
    "run": "run folder and progress",
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, that knows no abbreviations and keeps the layout of its epilog."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        # argparse itself would print the usage, many lines long, in front of the error.
        raise UserError(f"{message} (see: {self.prog} --help)")

    def reject(self, extras: list[str]) -> NoReturn:
        """Reports arguments that no flag took, with the flags that look like the first of them."""
        flag = next((text for text in extras if text.startswith("-")), extras[0]).split("=")[0]
        options = [
            name for action in self._actions for name in action.option_strings if name.startswith("--")
        ]
        close = nearest(flag.replace("_", "-"), options)
        kind = "flag" if flag.startswith("-") else "argument"
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        self.error(f"unknown {kind} {flag!r}{hint}")


def example(*lines: str) -> str:
    """Returns the epilog of a verb's help: lines that run as they stand."""
    return "example:\n" + "\n".join(f"  {line}" for line in lines)


def bounded(type_name: str, **bounds: Any) -> Callable[[str], Any]:
    """Returns an argparse ``type`` for values of this type within these :class:`~gluon_ssd.values.Bounds`."""
    limits = Bounds(**bounds)

    def parse(text: str) -> Any:
        value = convert_text(text, type_name, limits)
        if isinstance(value, UserError):
            raise argparse.ArgumentTypeError(str(value))
        return value

    return parse


def add_orientation(parser: argparse.ArgumentParser, default: str | None = "auto") -> None:
    """Adds the flag that decides which way pictures are up; a default of None means as in the recipe."""
    parser.add_argument(
        "--orientation",
        choices=ORIENTATIONS,
        default=default,
        help="boxes of pictures that EXIF turns, where their size does not tell: for the stored pixels "
        "or the "
        f"upright picture (default: {'auto, which is upright' if default else 'as in its recipe'})",
    )


def add_recipe_flags(parser: argparse.ArgumentParser, names: Sequence[str] | None = None) -> None:
    """Adds one flag per recipe key, or only for these ``names``.

    A flag that is not given leaves no trace in the parsed arguments.
    """
    groups = {name: parser.add_argument_group(title) for name, title in GROUPS.items()}
    for item in fields(Recipe):
        if names is not None and item.name not in names:
            continue
        # Without a default in the parser, a flag that is given can be told from one that is not, and the
        # recipe's value stays.
        options: dict[str, Any] = {"dest": item.name, "default": argparse.SUPPRESS, "help": _help(item)}
        bounds, type_name = item.metadata["bounds"], str(item.type)
        base = type_name.replace(" | None", "")
        if base == "bool":
            options["action"] = "store_true"
        elif type_name == "tuple[str, ...]":
            # One value for each flag, because arguments without a flag may stand behind it.
            options.update(action="append", metavar="TEXT", type=bounded("str", **vars(bounds)))
        elif base == "tuple[int, ...]":
            options.update(nargs="*", metavar="N", type=bounded("int", **vars(bounds)))
        elif base == "tuple[str, ...]":
            options.update(nargs="+", metavar="TEXT")
        else:
            letter = {"int": "N", "float": "X"}.get(base, "TEXT")
            options["metavar"] = "|".join(bounds.choices) if bounds.choices else letter
            options["type"] = bounded(type_name, **vars(bounds))
        groups[item.metadata["group"]].add_argument("--" + item.name.replace("_", "-"), **options)


def _help(item: Any) -> str:
    text = item.metadata["help"].replace("%", "%%")
    if item.default in (None, ()) or item.type == "bool":
        return text
    default = " ".join(map(str, item.default)) if isinstance(item.default, tuple) else item.default
    return f"{text} (default: {default})"


def recipe_values(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the recipe keys that were given as flags."""
    given = vars(args)
    return {item.name: given[item.name] for item in fields(Recipe) if item.name in given}
