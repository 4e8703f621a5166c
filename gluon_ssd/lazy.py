"""Public names of a package that are imported when they are first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any, Callable

from .errors import import_problem


def names_on_use(
    package: str, where: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the ``__getattr__`` and the ``__dir__`` of ``package``.

    ``where``: the module that each name is in, relative to ``package``: ``{"Detector": ".predict"}``.
    `dir` and the Tab key show what is in ``__all__``, whether it has been used yet or not. Getting a name
    raises UserError where a package that its module needs is missing.
    """

    def get(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(where[name], package)
        except (ImportError, AttributeError) as error:
            raise (import_problem(error) or error) from None
        return getattr(module, name)

    return get, lambda: sorted(sys.modules[package].__all__)
