"""Two processes that do the same in one place at the same moment, for every command that writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from commands import TRAIN, Materials, all_cases, materials, torn
from processes import PATIENCE, start
from results import Row
from verbs import visible

# Besides the commands that fail on a full disk. Both write into the folder that they run in.
MORE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "train into the next free run folder": (TRAIN.partition(" --output")[0], ()),
    "predict into the next free folder": ("predict {pictures} --weights {run}", ()),
    "prepare-records --overwrite": ("prepare-records {data} {out}/set --shards 2 --overwrite", ()),
}
# How many of two may be refused with one line, where it is not none: what is there by then is not replaced.
ONE = ("convert-data", "prepare-records", "predict", "models pull")
REFUSED = "train"


def measure(count: int, seed: int, folder: Path, case: str = "") -> Iterator[Row]:
    """Runs each command its share of ``count`` times, twice at a time, and yields a row for each.

    ``case``: only commands with that in their name, which then share the count.
    """
    made = materials(folder)
    cases = {name: row for name, row in {**all_cases(), **MORE}.items() if case in name}
    for place, (name, (command, before)) in enumerate(cases.items()):
        times = max(1, count // len(cases))
        faults: list[str] = []
        refused = 0
        for turn in range(times):
            home = folder / f"case{place}-{turn}"
            home.mkdir()
            pair = Pair(name, command, before, home, made)
            faults += [f"{name}: {fault}" for fault in pair.wrong()]
            refused += pair.refused
        note = f"two processes each time; {refused} times one was refused with one line"
        yield Row("concurrency", name, times, len(faults), note, faults=faults)


class Pair:
    """A command that two processes run in the folder ``home``."""

    def __init__(
        self, name: str, command: str, before: tuple[str, ...], home: Path, made: Materials
    ) -> None:
        self._name, self._home, self._before, self.refused = name, home, before, 0
        made.prepare(command, before, home / "out")
        words = ["-m", "gluon_ssd", *made.words(command, home / "out").split()]
        store = {"GLUON_SSD_HOME": str(home / "out")}
        self._running = [start(words, home / f"{number}.log", store) for number in range(2)]

    def wrong(self) -> Iterator[str]:
        """Yields what is wrong with how both end and what they leave."""
        for each in self._running:
            if not each.wait(PATIENCE):
                yield "does not end"
        texts, statuses = zip(*((each.text(), each.process.returncode) for each in self._running))
        lines = [[line for line in text.splitlines() if line.startswith("error: ")] for text in texts]
        self.refused = statuses.count(2)
        counts = [len(each) for each, status in zip(lines, statuses) if status == 2]
        if set(statuses) - {0, 2} or self.refused not in self._allowed() or set(counts) - {1}:
            yield f"statuses {statuses}: {' | '.join(text[-800:] for text in texts)}"
        hidden = [str(path) for path in self._home.rglob(".*")]
        if hidden:
            yield f"left behind: {hidden}"
        yield from torn(self._home / "out")
        found = visible(self._home)
        # Two of them are what the processes have printed.
        if len(found) < 2 + max(1, len(self._before)) or b"before" in found.values():
            yield f"not all was written: {sorted(found)}"

    def _allowed(self) -> tuple[int, ...]:
        if self._name in MORE:
            return (0,)
        if self._name.startswith(REFUSED):
            return (1,)
        return (0, 1) if self._name.startswith(ONE) else (0,)
