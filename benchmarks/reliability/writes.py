"""Every writing command, with one of its file operations failing, or all from one on. Linux, as root.

A moment is an operation on a file below the folder of the output: opening to write, writing, fsync, renaming,
making a folder or a link. One of each kind on each file comes first, in a random order, then the others.
"""

from __future__ import annotations

import errno
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from calls import READING, Call
from commands import TRAIN, Materials, all_cases, materials, wrong
from intercept import attempt
from results import Row
from verbs import visible

# What a full disk does not refuse.
_WITHOUT_SPACE = ("rename", "fsync", "fdatasync")


def measure(count: int, seed: int, folder: Path, case: str = "") -> Iterator[Row]:
    """Lets each command fail at its share of ``count`` moments, and yields its row.

    ``case``: only commands with that in their name, which then share the count.
    """
    made = materials(folder)
    cases = {name: row for name, row in all_cases().items() if case in name}
    for place, (name, (command, before)) in enumerate(cases.items()):
        out = folder / f"case{place}"
        rng = random.Random(f"{seed} {name}")
        yield _row(name, command, before, out, made, count // len(cases), rng)


def _row(
    name: str,
    command: str,
    before: tuple[str, ...],
    out: Path,
    made: Materials,
    count: int,
    rng: random.Random,
) -> Row:
    made.prepare(command, before, out)
    words, whole = made.words(command, out), Failing(0, 0)
    status, text = attempt(words, out, whole)
    if status:
        return Row("disk", f"{name}: a write fails", 0, 1, faults=[f"{name}: {text[-1500:]}"])
    names = _names(out)
    faults: list[str] = []
    told = 0
    moments = chosen(whole.calls, count, rng)
    for moment in moments:
        # A disk that is full from then on, or a fault of it that comes once.
        error = rng.choice((errno.ENOSPC, errno.EIO))
        failing = Failing(moment, error)
        made.prepare(command, before, out)
        status, text = attempt(words, out, failing)
        told += status != 0
        found = [*wrong(name, status, text, before, out)]
        if status == 0 and _names(out) != names:
            found.append(f"ends well, without {names ^ _names(out)}")
        if status and command.startswith(TRAIN):
            status, text = attempt(f"{words} --resume", out, Failing(0, 0))
            found += [f"cannot be resumed: {text[-800:]}"] if status else []
        where = f"{name}, {errno.errorcode[error]} at {failing.at}"
        faults += [f"{where}: {fault}" for fault in found]
    note = f"at {len(moments)} of {len(whole.calls)} operations; {told} told of, the others did no harm"
    return Row("disk", f"{name}: a write fails", len(moments), len(faults), note, faults=faults)


def _names(out: Path) -> set[str]:
    """Returns the files below a folder, without the numbers in their names, which may be times."""
    return {re.sub(r"\d+", "#", name) for name in visible(out)}


class Failing:
    """Counts the operations that write, and lets one fail: the ``moment``-th, from 1; 0: none.

    With ENOSPC those after it fail, too, as far as they need space.
    """

    def __init__(self, moment: int, error: int) -> None:
        self._moment, self._error = moment, error
        self.calls: list[Call] = []
        self.at: Call | None = None

    def __call__(self, call: Call) -> int:
        if call.name in READING:
            return 0
        self.calls.append(call)
        if self._moment and len(self.calls) == self._moment:
            self.at = call
            return self._error
        later = self.at is not None and self._error == errno.ENOSPC and call.name not in _WITHOUT_SPACE
        return self._error if later else 0


def chosen(calls: Sequence[Call], count: int, rng: random.Random) -> list[int]:
    """Returns ``count`` moments, from 1: the first of each kind of operation on each file, then others.

    Files whose names differ in their numbers alone are of a kind.
    """
    kinds: dict[tuple[str, str], int] = {}
    for number, call in enumerate(calls, 1):
        kinds.setdefault((call.name, re.sub(r"\.[0-9a-f]{10}\.|\d+", "#", call.path)), number)
    first = list(kinds.values())
    others = sorted(set(range(1, len(calls) + 1)) - set(first))
    rng.shuffle(first)
    rng.shuffle(others)
    return sorted([*first, *others][:count])
