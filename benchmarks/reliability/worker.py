"""Gives one reader damaged files: `worker.py READER FIRST COUNT SEED FOLDER`.

Each file comes from a sound one, or from a damaged one that has led somewhere new: to an error that is raised
at another place, or, in one file of eight, to lines which no file had reached before. A line of JSON on
standard output tells of each fault, with the smallest file that still leads to it, and one at the end of how
many files were read. The process ends by a signal where a file takes too long, see `watch`.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from mutate import mutate, shrink  # noqa: E402
from readers import READERS, Reader  # noqa: E402
from watch import PACKAGE, Watch  # noqa: E402

TRACED = 8
# No file that is larger becomes the beginning of others, because reading it again and again would take long.
LARGEST = 1 << 14


class Outcome(NamedTuple):
    """What came of a file: ``fault`` is None where it was read or refused, ``place`` where it was refused."""

    fault: str | None
    place: tuple[Any, ...] = ()


class Fuzzer:
    """Gives a reader one damaged file after another, in a folder of their own."""

    def __init__(self, reader: Reader, folder: Path) -> None:
        self.reader, self.folder, self.watch = reader, folder, Watch()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.files = reader.make(folder)
        # Open all the time, because opening a file takes longer than many a reader.
        self.now = os.open(folder.parent / "now", os.O_RDWR | os.O_CREAT)
        self.changed = self.files[0]
        self.sound = {path: reader.inner(path) for path in self.files}
        self.corpus = {path: [inner] for path, inner in self.sound.items()}
        self.lines: set[Any] = set()
        self.places: set[Any] = set()
        # What is loaded and cached with the first file is no file's fault.
        for path in self.files:
            reader.read(folder, path)
        self.peak = _peak()

    def give(self, rng: random.Random, number: int) -> tuple[str, Path] | None:
        """Returns the fault to which a damaged file leads, and where the smallest such file is."""
        path = rng.choice(self.files)
        own = self.corpus[path]
        inner = mutate(rng.choice(own if rng.random() < 0.5 else own[-8:]), own, rng)
        # The file of a process that does not survive it is still there.
        self._write(path, inner)
        os.pwrite(self.now, json.dumps({"number": number, "file": str(path)}).ljust(1000).encode(), 0)
        outcome = self._measured(path, len(inner), traced=number % TRACED == 0)
        if outcome.fault is None:
            self._learn(path, inner, outcome)
            return None
        return outcome.fault, self._kept(path, inner, outcome.fault, number)

    def _learn(self, path: Path, inner: bytes, outcome: Outcome) -> None:
        new = outcome.place not in self.places
        if new and not self.watch.lines:
            self._read(path, traced=True)
        new = new or not self.watch.lines <= self.lines
        self.lines |= self.watch.lines
        self.places.add(outcome.place)
        if new and len(inner) <= max(LARGEST, 2 * len(self.sound[path])):
            self.corpus[path].append(inner)

    def _write(self, path: Path, inner: bytes) -> None:
        """Damages one file, and repairs the one that was damaged before."""
        if path != self.changed:
            self.changed.write_bytes(self.reader.mend(self.sound[self.changed]))
            self.changed = path
        path.write_bytes(self.reader.mend(inner))

    def _measured(self, path: Path, size: int, traced: bool) -> Outcome:
        outcome = self._read(path, traced)
        before, self.peak = self.peak, _peak()
        grown = self.peak - before
        if outcome.fault is None and grown > self.reader.memory + 4 * size:
            return Outcome(f"{grown >> 20} MB for a file of {size} bytes")
        return outcome

    def _read(self, path: Path, traced: bool = False) -> Outcome:
        """Returns what comes of reading, once ``path`` has changed."""
        try:
            with self.watch.reading(traced):
                self.reader.read(self.folder, path)
        except self.reader.refusals as error:
            return Outcome(self.watch.found or None, tuple(_places(error)))
        except BaseException as error:
            return Outcome(_told(error))
        return Outcome(self.watch.found or None)

    def _kept(self, path: Path, inner: bytes, fault: str, number: int) -> Path:
        def same(candidate: bytes) -> bool:
            self._write(path, candidate)
            return kind_of(self._read(path).fault or "") == kind_of(fault)

        # How much memory a file takes is seen only once, since a process never gives its peak back.
        smallest = shrink(inner, same) if " MB for " not in fault else inner
        self.peak = _peak()
        kept = self.folder.parent / f"find{number}{path.suffix}"
        kept.write_bytes(self.reader.mend(smallest))
        return kept


def _places(error: BaseException | None) -> Iterator[tuple[Any, int]]:
    """Yields where an error went through, and the errors that it has taken the place of."""
    while error is not None:
        yield from ((step.f_code, line) for step, line in traceback.walk_tb(error.__traceback__))
        error = error.__context__


def kind_of(fault: str) -> str:
    """Returns a fault without its details: the same error at the same place is the same fault."""
    return fault.partition(": ")[0]


def _told(error: BaseException) -> str:
    where = [row for row in traceback.extract_tb(error.__traceback__) if row.filename.startswith(PACKAGE)]
    last = where[-1] if where else None
    place = f"{Path(last.filename).relative_to(PACKAGE)}:{last.lineno}" if last else "outside"
    return f"{type(error).__name__} at {place}: {str(error)[:120]}"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(name: str, first: int, count: int, seed: str, folder: Path) -> None:
    """Reads the files from number ``first`` on."""
    fuzzer = Fuzzer(READERS[name], folder)
    resource.setrlimit(resource.RLIMIT_AS, (_peak() + (4 << 30),) * 2)
    seen: set[str] = set()
    for number in range(first, count):
        found = fuzzer.give(random.Random(f"{seed} {name} {number}"), number)
        if found and kind_of(found[0]) not in seen:
            seen.add(kind_of(found[0]))
            print(json.dumps({"fault": found[0], "number": number, "kept": str(found[1])}), flush=True)
    corpus = sum(map(len, fuzzer.corpus.values()))
    print(json.dumps({"lines": len(fuzzer.lines), "corpus": corpus}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], Path(sys.argv[5]))
