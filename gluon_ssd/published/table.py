"""What a row of the option tables is, and the changes that rows make to values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

Pairs = tuple[tuple[str, str], ...]
# The largest seed that a recipe takes, plus 1; published ones go up to 2**32 - 1.
SEEDS = 2**31


@dataclass(frozen=True)
class System:
    """One published command line: the recipe with its defaults, its other defaults, and where its data is.

    ``first_flags`` are recipe keys with their values, which options replace.
    """

    name: str
    about: str
    recipe: str
    first_flags: Pairs = ()
    data: str | None = None


@dataclass(frozen=True)
class Option:
    """One option: its names, how many values follow it, and what becomes of them.

    ``target`` is a recipe's key; or, after "@", something that `translation` works out together with other
    options; or empty, when nothing becomes of the option and ``why`` tells the user the reason. ``arity`` is
    the number of values, "*" for any number, "?" for none or one. ``constant`` is what a switch stands for,
    ``values`` maps the values that an option may have to ours, and ``change`` computes ours.
    """

    systems: tuple[str, ...]
    names: tuple[str, ...]
    target: str
    arity: int | str = 1
    constant: str = ""
    values: Pairs = ()
    change: Callable[[str], str] | None = None
    why: str = ""


def row(systems: str, names: str, target: str, arity: int | str = 1, **rest: Any) -> Option:
    """Returns an option; ``systems`` and ``names`` are words separated by blanks."""
    return Option(tuple(systems.split()), tuple(names.split()), target, arity, **rest)


def idle(systems: str, names: str, arity: int | str, why: str) -> Option:
    """Returns an option that has no meaning here, for the reason that ``why`` gives."""
    return row(systems, names, "", arity, why=why)


def percent(text: str) -> str:
    """Returns a mAP as a share: 23 and 0.23 are both 0.23. Raises ValueError for what is not a number."""
    number = float(text)
    return f"{number / 100 if number > 1 else number:.6g}"


def counted_from_one(text: str) -> str:
    """Returns an epoch counted from 0 as one counted from 1.

    Other text stays as it is, for the recipe's check to report.
    """
    return str(int(text) + 1) if text.isdecimal() else text


def all_as_most(text: str) -> str:
    """Returns a number of detections; for -1, all, it is the candidates that the detector considers."""
    return "1000" if int(text) < 0 else text


def seed(text: str) -> str:
    """Returns a seed within the recipe's range.

    Other text stays as it is, for the recipe's check to report.
    """
    return str(int(text) % SEEDS) if text.isdecimal() else text


def whole(text: str) -> str:
    """Returns a whole number, -1 included. Raises ValueError for any other text."""
    return str(int(text))


FUSED = "fused operators are used where this MXNet has them; the result is the same"
RANK = "Horovod knows the rank"
SIZES = "counted in the annotation file"
TORCH = "an option of PyTorch's implementation; nothing corresponds to it in MXNet"
TF32 = "MXNet multiplies in float32 or, with --amp, in half precision"
