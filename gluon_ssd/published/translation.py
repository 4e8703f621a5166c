"""Translates the command lines of the published trainings to ``gluon-ssd train`` and ``gluon-ssd val``.

The options are the rows of `options.OPTIONS`. Flags of ``gluon-ssd train`` that are no published option are
taken as they are, so that whatever a recipe knows can be added to a published command.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..cli.parsing import Parser, example
from ..errors import UserError, unknown
from ..values import convert_text
from .meaning import KEYS, Given, arguments_of
from .options import OPTIONS, SYSTEMS, Option, System

# Targets that are not keys of a recipe, with the key whose values they take.
_COUNTS = {
    "@benchmark_steps": "max_steps",
    "@benchmark_warmup": "max_steps",
    "@first_evaluation": "eval_every",
    "@evaluation_interval": "max_steps",
}


@dataclass(frozen=True)
class Translation:
    """What a published command line means: ``arguments`` for gluon-ssd, and a sentence per unused option."""

    system: System
    arguments: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        """The command, quoted for a shell."""
        return shlex.join(["gluon-ssd", *self.arguments])


class _Record(argparse.Action):
    """Puts (row, name as typed, values) on one list, since of two options the later one wins."""

    def __init__(self, *, option: Option, **rest: Any) -> None:
        super().__init__(**rest)
        self.option = option

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        texts = [values] if isinstance(values, str) else list(values or [])
        namespace.found.append((self.option, option_string, texts))


def translate(argv: Sequence[str], system: str | None = None) -> Translation:
    """Returns what ``argv`` means here. ``system`` says whose options they are; None finds out.

    Raises UserError for an option that no system has, a value that does not fit, and what cannot be done
    here.
    """
    chosen = pick_system(argv, system)
    parser = build_parser(chosen)
    namespace, extras = parser.parse_known_args(list(argv), argparse.Namespace(found=[]))
    if extras:
        parser.reject(extras)
    given = Given()
    for option, name, texts in namespace.found:
        _apply(given, option, name, texts)
    arguments = arguments_of(chosen, given)
    return Translation(chosen, tuple(arguments), tuple(given.notes))


def pick_system(argv: Sequence[str], name: str | None = None) -> System:
    """Returns the system called ``name``; without a name, the one that knows most options of ``argv``.

    Of several that know equally many, the first is taken. An option counts as known if its value is known
    too. Raises UserError for the name of no system.
    """
    known = {item.name: item for item in SYSTEMS}
    if name is None:
        return min(SYSTEMS, key=lambda system: _strangers(system, argv))
    if name not in known:
        raise unknown("system", name, known)
    return known[name]


def _strangers(system: System, argv: Sequence[str]) -> tuple[int, int]:
    """How many options nobody knows if ``system`` is meant, and how many the system itself does not know."""
    published = {name: row for row in _rows(system.name) for name in row.names}
    nobodys = others = 0
    for text, following in zip(argv, [*argv[1:], ""]):
        if not _is_option(text):
            continue
        option, _, value = text.partition("=")
        row = published.get(option)
        if row is None:
            # The flags of gluon-ssd are taken by every system, so they speak for none of them.
            nobodys += option not in _own_rows()
            others += 1
        elif row.values and row.arity != "?":
            others += (value or following) not in dict(row.values)
    return nobodys, others


def build_parser(system: System) -> Parser:
    """Returns the parser of one system's options and of our own; `--help` tells what each is here."""
    parser = Parser(
        prog="python -m gluon_ssd.main",
        usage="python -m gluon_ssd.main [--system NAME] [--dry-run] [OPTION ...]",
        description="Takes the options of published trainings and runs gluon-ssd. Systems: "
        + "; ".join(f"{item.name} ({item.about})" for item in SYSTEMS)
        + f". These are the options of {system.name} and what they are here; flags of gluon-ssd train work.",
        epilog=example(
            "python -m gluon_ssd.main --dry-run --warmup 300 --bs 64 --fp16 --data /coco",
            "python -m gluon_ssd.main --coco-root /datasets/coco2017 --lr=0.003157 --lr-warmup-epoch=5",
        ),
    )
    taken: set[str] = set()
    for row in _rows(system.name):
        taken.update(row.names)
        # argparse fills in percent signs in a help text, so a literal one is doubled.
        _add(parser, row, (f"= {_target_text(row)}" if row.target in KEYS else row.why).replace("%", "%%"))
    # A published option wins over a flag of gluon-ssd of the same name.
    for name, row in _own_rows().items():
        if name not in taken:
            _add(parser, row, argparse.SUPPRESS)
    return parser


def _add(parser: Parser, row: Option, help: str) -> None:
    arity = None if row.arity == 1 else row.arity
    options: dict[str, Any] = {"action": _Record, "option": row, "nargs": arity, "dest": "found"}
    options["help"] = help
    if row.arity != 0:
        options["metavar"] = "|".join(dict(row.values)) or "VALUE"
    parser.add_argument(*row.names, **options)


def _target_text(row: Option) -> str:
    flag = "--" + row.target.replace("_", "-")
    return f"{flag} {row.constant}" if row.constant not in ("", "true") else flag


def _rows(system: str) -> Iterable[Option]:
    return (row for row in OPTIONS if system in row.systems)


def _own_rows() -> dict[str, Option]:
    """The flags of ``gluon-ssd train`` as rows, by name."""
    rows = {"--recipe": Option((), ("--recipe",), "@recipe")}
    for key, item in KEYS.items():
        base = str(item.type).replace(" | None", "")
        arity: int | str = {"bool": 0}.get(base, "*" if base.startswith("tuple") else 1)
        name = "--" + key.replace("_", "-")
        rows[name] = Option((), (name,), key, arity, constant="true" if arity == 0 else "")
    return rows


def _is_option(text: str) -> bool:
    # A negative number is a value.
    return text.startswith("-") and not text[1:2].isdigit() and text != "-"


def _apply(given: Given, option: Option, name: str, texts: list[str]) -> None:
    """Notes down one option. Raises UserError for a value that it cannot have."""
    texts = [option.constant] if option.arity == 0 else texts
    if option.values:
        table = dict(option.values)
        for text in texts:
            if text not in table:
                raise UserError(f"{name}: must be one of {', '.join(table)}, got {text!r}")
        texts = [table[text] for text in texts]
    if option.change:
        try:
            texts = [option.change(text) for text in texts]
        except ValueError:
            raise UserError(f"{name}: expected a number, got {' '.join(texts)!r}") from None
    if option.target in ("", "@nothing"):
        given.notes.append(f"{name}: not needed; {option.why}")
        return
    if option.target in KEYS or option.target in _COUNTS:
        _check(_COUNTS.get(option.target, option.target), name, texts)
    given.values[option.target] = texts
    given.names[option.target] = name


def _check(key: str, name: str, texts: list[str]) -> None:
    """Raises UserError, under the published name, for values that the recipe's key does not take."""
    kind, bounds = str(KEYS[key].type), KEYS[key].metadata["bounds"]
    if kind == "bool":
        return
    for text in texts:
        problem = convert_text(text, kind.replace("tuple[int, ...]", "int"), bounds)
        if isinstance(problem, UserError):
            raise UserError(f"{name}: {problem}")
