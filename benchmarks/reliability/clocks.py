"""Two ranks whose clocks are wrong (by libfaketime), or whose files are of the future."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from processes import PATIENCE
from ranks import Pair, wait_for
from results import Row

LIBRARIES = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")
JUMPS = ("+0", "+10y", "-10y", "+3d", "-1h", "+90y")
# How far the clocks of both ranks are ahead; None for clocks that jump to another of `JUMPS` every second.
CASES: Mapping[str, tuple[str | None, str | None]] = {
    "both clocks jump by years every second": (None, None),
    "the clock of rank 1 is ten years ahead": ("+0", "+10y"),
    "the clock of rank 0 is ten years ahead": ("+10y", "+0"),
    "both clocks were never set and begin in 1970": ("@1970-01-01 00:00:00", "@1970-01-01 00:00:00"),
}
FUTURE = 4e9


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Tries each of `CASES` once, and files of the future; without Horovod or libfaketime there is no row."""
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    if importlib.util.find_spec("horovod") is None or library is None:
        return
    pair = WrongClocks(folder, library, random.Random(seed))
    for number, (name, clocks) in enumerate(CASES.items()):
        faults = pair.trains(folder / f"run{number}", clocks)
        yield Row(
            "ranks", name, 1, len(faults), "both went on", faults=[f"{name}: {fault}" for fault in faults]
        )
    name = "every file is of the year 2096"
    faults = pair.trains_on_future(folder / "future")
    yield Row("ranks", name, 1, len(faults), "resumed", faults=[f"{name}: {fault}" for fault in faults])


class WrongClocks(Pair):
    """A `Pair` whose clocks are what their files say."""

    def __init__(self, folder: Path, library: str, rng: random.Random) -> None:
        self._files = [folder / f"clock{rank}" for rank in range(2)]
        self._library, self._rng = library, rng
        self._set(("+0", "+0"))
        super().__init__(folder)

    def place(self, rank: int, port: int) -> tuple[Sequence[str], dict[str, str]]:
        before, variables = super().place(rank, port)
        # The time of day alone: no program may count on it, but all may on the clock that only runs on.
        faked = {
            "LD_PRELOAD": self._library,
            "FAKETIME_TIMESTAMP_FILE": str(self._files[rank]),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        return before, {**variables, **faked}

    def _set(self, clocks: Sequence[str | None]) -> None:
        for file, clock in zip(self._files, clocks):
            new = file.with_suffix(".new")
            new.write_text(f"{clock or self._rng.choice(JUMPS)}\n")
            new.replace(file)

    def trains(self, run: Path, clocks: Sequence[str | None]) -> list[str]:
        """Trains with such clocks, interrupted once; returns what went wrong."""
        over = threading.Event()

        def jump() -> None:
            while not over.wait(1):
                self._set(clocks)

        self._set(clocks)
        jumping = threading.Thread(target=jump)
        jumping.start()
        try:
            return self._interrupted(run)
        finally:
            over.set()
            jumping.join()
            self._set(("+0", "+0"))

    def _interrupted(self, run: Path) -> list[str]:
        sign = run.with_suffix(".sign")
        running = self.train(run, hits={0: ("step", 5, signal.SIGTERM, sign)})
        fault = self.end(running, PATIENCE, 128 + signal.SIGTERM)
        return [*([fault] if fault else []), *self.goes_on(run)]

    def trains_on_future(self, run: Path) -> list[str]:
        """Kills a training, gives it and its data times of the future, and resumes it."""
        sign = run.with_suffix(".sign")
        running = self.train(run, hits={1: ("step", 8, signal.SIGKILL, sign)})
        wait_for(sign.exists, running)
        faults = list(filter(None, [self.end(running, PATIENCE, None)]))
        for path in [*run.rglob("*"), *(run.parent / "data").rglob("*"), run]:
            os.utime(path, (FUTURE, FUTURE))
        return [*faults, *self.goes_on(run)]
