"""The moments of a command at which something is done to it: operations on files, as the kernel sees them.

A kind is one operation on one file, where files whose names differ in their numbers alone are the same. Its
first, its last and one in the middle are tried.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from typing import Any, Callable

from calls import Call
from results import Row


class Moment:
    """Counts the operations that matter, and knows the one at which something happens.

    ``number``: of that operation, from 1; 0: nothing happens. ``fault``: what does.
    """

    def __init__(self, number: int = 0, fault: Any = None) -> None:
        self.number, self.fault = number, fault
        self.calls: list[Call] = []
        self.at: Call | None = None

    def counted(self, call: Call) -> bool:
        """Counts an operation; returns whether it is the one."""
        self.calls.append(call)
        if len(self.calls) == self.number:
            self.at = call
        return len(self.calls) == self.number

    def __call__(self, call: Call) -> int:
        """Returns the error that an operation gets; 0: none."""
        raise NotImplementedError


def tried(
    case: str,
    kind: type[Moment],
    faults: Sequence[Any],
    run: Callable[[Moment], tuple[int, str]],
    wrong: Callable[[int, str, Moment], Iterable[str]],
    count: int,
    rng: random.Random,
) -> Row:
    """Runs a command once alone, and then with each of the ``faults`` at moments; returns its row.

    ``run`` returns the status and what was printed, ``wrong`` what is wrong with them and what they left. Not
    more than ``count`` times.
    """
    whole = kind()
    status, text = run(whole)
    # Also where the command did what it is to do: that tells what it leaves.
    found = [f"alone: {fault}" for fault in wrong(status, text, whole)]
    if status or found:
        return Row("disk", case, 0, 1, faults=[f"{case}, alone: {text[-1500:]}", *found])
    every = chosen(whole.calls, faults, rng)
    told = 0
    for number, fault in every[:count]:
        moment = kind(number, fault)
        status, text = run(moment)
        told += status != 0
        found += [f"{case}, {fault} at {moment.at}: {problem}" for problem in wrong(status, text, moment)]
    amount = f"{min(count, len(every))} of {len(every)} places among {len(whole.calls):,} operations"
    note = f"at {amount}; {told} told of, the others did no harm"
    return Row("disk", case, min(count, len(every)), len(found), note, faults=found)


def chosen(calls: Sequence[Call], faults: Sequence[Any], rng: random.Random) -> list[tuple[int, Any]]:
    """Returns the operations to try, from 1, each with each of the ``faults``.

    The first of each kind comes before the last ones and those in the middle; each group has a random order,
    and meets one of the faults before the next.
    """
    kinds: dict[tuple[str, str], list[int]] = {}
    for number, call in enumerate(calls, 1):
        name = re.sub(r"\.[0-9a-f]{10}\.|\d+", "#", call.path)
        kinds.setdefault((call.name, name), []).append(number)
    own = list(kinds.values())
    groups = [[row[0] for row in own], [row[-1] for row in own if len(row) > 1]]
    groups.append([row[len(row) // 2] for row in own if len(row) > 2])
    found = []
    for group in groups:
        rng.shuffle(group)
        for turn in range(len(faults)):
            found += [(number, faults[(place + turn) % len(faults)]) for place, number in enumerate(group)]
    return found
