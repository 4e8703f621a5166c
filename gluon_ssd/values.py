"""Turns values of a YAML file or of flags into what a recipe key wants, or says why that is not possible."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from .errors import UserError, nearest


@dataclass(frozen=True)
class Bounds:
    """What a key accepts: one of ``choices``, ``low <= x``, ``above < x``, ``x <= high``, ``x < below``.

    None means that there is no such bound.
    """

    choices: tuple[str, ...] | None = None
    low: float | None = None
    above: float | None = None
    high: float | None = None
    below: float | None = None

    def problem(self, value: Any) -> str | None:
        """Returns what is wrong with ``value``, or None.

        The bounds of a sequence hold for each of its elements.
        """
        if self.choices is not None and value not in self.choices:
            close = nearest(value, self.choices, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            return f"must be one of {', '.join(self.choices)}, got {value!r}{hint}"
        rules = (
            (self.low, "at least", lambda x, bound: x >= bound),
            (self.above, "greater than", lambda x, bound: x > bound),
            (self.high, "at most", lambda x, bound: x <= bound),
            (self.below, "less than", lambda x, bound: x < bound),
        )
        for number in value if isinstance(value, tuple) else (value,):
            for bound, words, holds in rules:
                if bound is not None and not holds(number, bound):
                    return f"must be {words} {bound}, got {number}"
        return None


def refuse_expansion(value: Any, text: str) -> Any:
    """Returns ``value``, which YAML has made of ``text``.

    Raises ValueError where aliases (``*name``) stand for so much that whoever looks at all of it does
    not come to an end, and where a list holds itself.
    """
    sizes: dict[int, int] = {}
    # Without aliases, a text holds fewer values than characters.
    most = max(100_000, len(text))

    def size(part: Any) -> int:
        if not isinstance(part, (dict, list)):
            return 1
        if id(part) not in sizes:
            sizes[id(part)] = most  # for what holds itself
            inner = [*part.keys(), *part.values()] if isinstance(part, dict) else part
            sizes[id(part)] = 1 + sum(map(size, inner))
        return sizes[id(part)]

    if size(value) > most:
        raise ValueError("aliases (*name) stand for more values than can be read")
    return value


def convert(value: Any, type_name: str, bounds: Bounds) -> Any:
    """Turns ``value`` into the type that the annotation ``type_name`` spells, within ``bounds``.

    Returns the value, or a :class:`UserError` (which is not raised) that says what was expected; the caller
    puts its file and key in front.
    """
    optional = type_name.endswith(" | None")
    base = type_name[: -len(" | None")] if optional else type_name
    if value is None:
        return None if optional else UserError(f"expected {_NAMES[base]}, got nothing")
    try:
        result = _CONVERTERS[base](value)
    except OverflowError:
        return UserError(f"expected {_NAMES[base]}, got too large a number: {shown(value)}")
    except (TypeError, ValueError):
        return UserError(f"expected {_NAMES[base]}{' or null' if optional else ''}, got {shown(value)}")
    problem = bounds.problem(result)
    return UserError(problem) if problem else result


def convert_text(text: str, type_name: str, bounds: Bounds) -> Any:
    """Converts the text of a command-line flag like :func:`convert`; ``none`` stands for no value."""
    base = type_name.replace(" | None", "")
    if base != type_name and text.lower() in ("none", "null"):
        return None
    try:
        # From YAML an integer must not come as text, so `convert` refuses that; a flag has nothing but text.
        value = int(text) if base in ("int", "tuple[int, ...]") else text
    except ValueError:
        return UserError(f"expected an integer, got {text!r}")
    return convert(value, type_name, bounds)


def shown(value: Any) -> str:
    """Returns a value for a message, in at most 80 characters."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out no integer of over 4300 digits
        return "one of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _integer(value: Any) -> int:
    # YAML's true would otherwise pass as 1.
    if isinstance(value, bool):
        raise TypeError
    number = operator.index(value)
    # No key needs more than 64 bits, and arithmetic with floats would fail on larger ones.
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError
    return number


def _number(value: Any) -> float:
    # YAML 1.1 reads 5e-4 (no dot) as text; whoever writes it means the number.
    if isinstance(value, bool) or not isinstance(value, (Real, str)):
        raise TypeError
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError
    return number


def _text(value: Any) -> str:
    text = os.fspath(value)
    if not isinstance(text, str) or not text:
        raise TypeError
    return os.path.expanduser(text)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _integers(value: Any) -> tuple[int, ...]:
    items: Sequence[Any] = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(_integer(item) for item in items)


def _texts(value: Any) -> tuple[str, ...]:
    items: Sequence[Any] = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(_text(item) for item in items)


_CONVERTERS = {
    "int": _integer,
    "float": _number,
    "str": _text,
    "bool": _switch,
    "tuple[int, ...]": _integers,
    "tuple[str, ...]": _texts,
}
_NAMES = {
    "int": "an integer",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "tuple[int, ...]": "a list of integers",
    "tuple[str, ...]": "a list of texts",
}
