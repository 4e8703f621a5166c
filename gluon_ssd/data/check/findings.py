"""A finding: one thing that is wrong, or worth knowing, and everything it was seen on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# An error stops a training or spoils it; a warning makes it worse or its score less true; a note is neither.
ERROR, WARNING, NOTE = LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """``what`` is wrong, ``count`` times, in a ``split`` ("" for both), with ``advice`` as the remedy.

    ``items`` names what it was seen on, all of it or only the first of very many.
    """

    level: str
    split: str
    what: str
    count: int
    items: tuple[str, ...]
    advice: str


class Findings:
    """Collects the findings of one split. Something that was seen on nothing is no finding."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.found: list[Finding] = []

    def add(self, level: str, what: str, items: Iterable[str], advice: str, most: int | None = None) -> None:
        """Adds ``what`` about each of ``items``, of which only the first ``most`` are kept."""
        every = list(items)
        if every:
            shown = tuple(printable(item) for item in every[:most])
            self.found.append(Finding(level, self.split, what, len(every), shown, advice))


def printable(text: str) -> str:
    """Returns ``text`` on one line, with what UTF-8 cannot hold replaced: file names may hold anything."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
