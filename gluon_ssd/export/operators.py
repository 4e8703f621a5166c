"""MXNet's operators by name, each as a function that adds ONNX nodes to a graph."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from ..errors import UserError
from .graph import Graph


@dataclass(frozen=True)
class Call:
    """One node of an MXNet symbol, to be translated.

    ``inputs``: the names of its arguments in ``graph``; ``shapes``: theirs, and ``output_shape``, for a batch
    of one, of which only axis 0 may differ in a running graph.
    """

    graph: Graph
    op: str
    name: str
    inputs: Sequence[str]
    shapes: Sequence[tuple[int, ...]]
    output_shape: tuple[int, ...]
    attributes: Mapping[str, str]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute as a Python value: a number, a tuple, a boolean, None or a string."""
        text = self.attributes.get(name)
        if text is None:
            return default
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text

    def add(self, op: str, *inputs: Any, **attributes: Any) -> Any:
        """Adds a node that is named after this one."""
        return self.graph.node(op, *inputs, hint=self.name, **attributes)

    def refuse(self, what: str) -> UserError:
        """The error for a use of this operator that has no translation."""
        return UserError(f"the operator {self.op} of {self.name} cannot be exported {what}")


Translation = Callable[[Call], Any]
TRANSLATIONS: dict[str, Translation] = {}


def operator(*names: str) -> Callable[[Translation], Translation]:
    """Registers the translation of MXNet's operators of these names. It returns the output, or a list."""

    def register(function: Translation) -> Translation:
        for name in names:
            TRANSLATIONS[name] = function
        return function

    return register


def ints(*values: int) -> np.ndarray:
    """What ONNX takes as axes, sizes and places."""
    return np.array(values, dtype=np.int64)


def number(value: float) -> np.ndarray:
    """A float32 scalar."""
    return np.array(value, dtype=np.float32)
