"""Two ranks whose clocks are wrong, or whose files are of the future."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from processes import PATIENCE
from ranks import Ranks, row, wait_for
from results import REPOSITORY, Row

PROGRAM = REPOSITORY / "benchmarks" / "reliability" / "wrong_clock.c"
YEAR = 366 * 86400
JUMPS = (0, 10 * YEAR, -10 * YEAR, 3 * 86400, -3600, 90 * YEAR)
NEVER_SET = -int(time.time()) + 3600
# By how many seconds the clocks of both ranks are ahead; None for clocks that jump to one of `JUMPS`.
CASES: Mapping[str, tuple[int | None, int | None]] = {
    "both clocks jump by years every second": (None, None),
    "the clock of rank 1 is ten years ahead": (0, 10 * YEAR),
    "the clock of rank 0 is ten years ahead": (10 * YEAR, 0),
    "both clocks were never set and begin in 1970": (NEVER_SET, NEVER_SET),
}
FUTURE = 4e9


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Tries each of `CASES` once, and files of the future; without Horovod or a compiler there is no row."""
    if importlib.util.find_spec("horovod") is None or shutil.which("cc") is None:
        return
    library = folder / "wrong_clock.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, PROGRAM, "-ldl"], check=True)
    pair = WrongClocks(folder, library, random.Random(seed))
    for number, (name, clocks) in enumerate(CASES.items()):
        faults = pair.trains(folder / f"run{number}", clocks)
        yield row(name, faults, "interrupted, resumed and ended")
    faults = pair.trains_on_future(folder / "future")
    yield row("every file is of the year 2096", faults, "killed, resumed and ended")


class WrongClocks(Ranks):
    """`Ranks` whose clocks are what their files say."""

    def __init__(self, folder: Path, library: Path, rng: random.Random) -> None:
        self._files = [folder / f"clock{rank}" for rank in range(2)]
        self._library, self._rng = library, rng
        self._set((0, 0))
        super().__init__(folder)

    def place(self, rank: int, port: int) -> tuple[Sequence[str], dict[str, str]]:
        before, variables = super().place(rank, port)
        wrong = {"LD_PRELOAD": str(self._library), "WRONG_CLOCK": str(self._files[rank])}
        return before, {**variables, **wrong}

    def _set(self, clocks: Sequence[int | None]) -> None:
        for file, clock in zip(self._files, clocks):
            new = file.with_suffix(".new")
            new.write_text(f"{self._rng.choice(JUMPS) if clock is None else clock}\n")
            new.replace(file)

    def trains(self, run: Path, clocks: Sequence[int | None]) -> list[str]:
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
            self._set((0, 0))

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
