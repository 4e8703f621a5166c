"""Every writing command, with one of its file operations failing, or all from one on. Linux, as root.

The operations are those on files below the folder of the output: opening to write, writing, fsync, renaming,
making a folder or a link. A disk is full from then on (ENOSPC), or has a fault that comes once (EIO).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from errno import EIO, ENOSPC
from pathlib import Path

from calls import READING, Call
from commands import TRAIN, Materials, all_cases, materials, wrong
from intercept import attempt
from moments import Moment, tried
from results import Row
from verbs import visible

# What a full disk does not refuse.
_WITHOUT_SPACE = ("rename", "fsync", "fdatasync")


def measure(count: int, seed: int, folder: Path, case: str = "") -> Iterator[Row]:
    """Lets each command fail at its share of ``count`` places, and yields its row.

    ``case``: only commands with that in their name, which then share the count.
    """
    made = materials(folder)
    cases = {name: row for name, row in all_cases().items() if case in name}
    for place, (name, (command, before)) in enumerate(cases.items()):
        one = Case(name, command, before, folder / f"case{place}", made)
        rng = random.Random(f"{seed} {name}")
        about = f"{name}: a write fails"
        yield tried(about, Failing, (ENOSPC, EIO), one.run, one.wrong, count // len(cases), rng)


class Case:
    """One command, the files that are there before, and the folder that it writes into."""

    def __init__(self, name: str, command: str, before: tuple[str, ...], out: Path, made: Materials) -> None:
        self._name, self._command, self._before, self._out, self._made = name, command, before, out, made
        self._words = made.words(command, out)
        self._names: set[str] = set()

    def run(self, moment: Moment) -> tuple[int, str]:
        self._made.prepare(self._command, self._before, self._out)
        return attempt(self._words, self._out, moment)

    def wrong(self, status: int, text: str, moment: Moment) -> Iterator[str]:
        """Yields what is wrong; the first time with a command that was left alone."""
        yield from wrong(self._name, status, text, self._before, self._out)
        # Without the numbers in their names, which may be times.
        names = {re.sub(r"\d+", "#", name) for name in visible(self._out)}
        self._names = self._names or names
        if status == 0 and names != self._names:
            yield f"ends well, without {names ^ self._names}"
        if status and self._command.startswith(TRAIN):
            status, text = attempt(f"{self._words} --resume", self._out, Failing())
            if status:
                yield f"cannot be resumed: {text[-800:]}"


class Failing(Moment):
    """Lets an operation that writes fail. With ENOSPC those after it fail, too, as far as they need space."""

    def __call__(self, call: Call) -> int:
        if call.name in READING:
            return 0
        now = self.counted(call)
        later = self.at is not None and self.fault == ENOSPC and call.name not in _WITHOUT_SPACE
        return self.fault if now or later else 0
