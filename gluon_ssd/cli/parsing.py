"""argparse with one-line errors, suggestions for misspelt flags, and the keys of a recipe as flags."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Callable, NoReturn

from ..data.choices import ORIENTATIONS
from ..errors import UserError, nearest
from ..recipe import Recipe
from ..values import Bounds, convert_text

# The headings of a recipe's keys, in the order of the help.
GROUPS = {
    "model": "model",
    "precision": "precision and layout",
    "data": "data set",
    "input": "input pipeline (docs/data-pipelines.md)",
    "schedule": "length of the training",
    "rate": "optimizer and learning rate",
    "evaluation": "evaluation",
    "detections": "detections",
    "processes": "several processes (docs/distributed.md)",
    "run": "checkpoints and logs",
    "mlperf": "MLPerf (docs/mlperf.md)",
    "plugin": "models of your own (docs/own-models.md)",
}
# How a value is called where it is neither a number nor one of a few words.
VALUES = {
    "model": "NAME",
    "backbone": "NAME",
    "pretrained_backbone": "FILE",
    "weights": "FILE",
    "plugin": "FILE",
    "data": "FOLDER",
    "train_images": "FOLDER",
    "val_images": "FOLDER",
    "train_annotation": "FILE",
    "val_annotation": "FILE",
    "only": "CLASS",
    "output": "FOLDER",
    "json_summary": "FILE",
    "mlperf_rules": "VERSION",
}


class Layout(argparse.RawDescriptionHelpFormatter):
    """Fits paragraphs to the terminal, but keeps those with an indented line, such as examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fit = textwrap.TextWrapper(width, initial_indent=indent, subsequent_indent=indent)
        paragraphs = (part if "\n  " in part else fit.fill(part) for part in text.split("\n\n"))
        return "\n\n".join(paragraphs)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and that knows no abbreviations."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", Layout)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)
        self._given: list[str] = []

    def section(self, title: str) -> argparse._ArgumentGroup:
        """Returns the group of flags with this heading, which is made where there is none yet."""
        for group in self._action_groups:
            if group.title == title:
                return group
        return self.add_argument_group(title)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Keeps the arguments, so that an error about a missing flag can name one that is misspelled."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        flags = [text for text in self._given if text.startswith("--")]
        strange = [text for text in flags if text.split("=")[0] not in self._option_string_actions]
        if message.startswith("the following arguments are required") and strange:
            self.reject(strange)
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


def add_orientation(parser: argparse._ActionsContainer, default: str | None = "auto") -> None:
    """Adds the flag that decides which way pictures are up; a default of None means as in the recipe."""
    parser.add_argument(
        "--orientation",
        choices=ORIENTATIONS,
        default=default,
        help="boxes of pictures that EXIF turns, where their size does not tell: for the stored pixels or "
        f"the upright picture (default: {'auto, which is upright' if default else 'as in its recipe'})",
    )


def add_recipe_flags(parser: Parser, names: Sequence[str], title: str | None = None) -> None:
    """Adds a flag for each of these keys of a recipe, under this heading or under those of `GROUPS`.

    A flag that is not given leaves no trace in the parsed arguments.
    """
    keys = {item.name: item for item in fields(Recipe)}
    chosen = [keys[name] for name in names]
    used = {item.metadata["group"] for item in chosen}
    groups = {group: parser.section(title or words) for group, words in GROUPS.items() if group in used}
    for item in chosen:
        # Without a default in the parser, a flag that is given can be told from one that is not, and the
        # recipe's value stays.
        options: dict[str, Any] = {"dest": item.name, "default": argparse.SUPPRESS, "help": _help(item)}
        bounds, type_name = item.metadata["bounds"], str(item.type)
        base = type_name.replace(" | None", "")
        if base == "bool":
            options["action"] = "store_true"
        elif type_name == "tuple[str, ...]":
            # One value for each flag, because arguments without a flag may stand behind it.
            options.update(action="append", metavar=VALUES[item.name], type=bounded("str", **vars(bounds)))
        elif base == "tuple[int, ...]":
            options.update(nargs="*", metavar="N", type=bounded("int", **vars(bounds)))
        elif base == "tuple[str, ...]":
            options.update(nargs="+", metavar=VALUES[item.name])
        else:
            kind = {"int": "N", "float": "X"}.get(base) or VALUES.get(item.name)
            options["metavar"] = "|".join(bounds.choices) if bounds.choices else kind
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
