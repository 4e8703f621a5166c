"""Ranks of which one is killed or stopped at a chosen moment: what the others do, how all go on."""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable, NamedTuple

from compare import damaged, differences
from kills import FLAGS
from processes import GRACE, PATIENCE, Running, start
from results import REPOSITORY, Row
from servers import free_port
from trainings import launched

from gluon_ssd.data.shapes import make_shapes

PROGRAM = REPOSITORY / "benchmarks" / "reliability" / "rank_moments.py"
FLAGS = [*FLAGS, "--eval-epochs", "2"]
KILL, STOP = signal.SIGKILL, signal.SIGSTOP


class Hit(NamedTuple):
    """What happens to one rank of ``size``, and what the others are to do within ``seconds`` from then.

    ``stopped``: seconds until a stopped rank is continued. ``says``: a pattern of the lines of the others,
    None where all go on to the end.
    """

    moment: str
    nth: int
    rank: int
    number: int
    says: str | None
    seconds: float = 60
    stopped: float = 0
    size: int = 2


GONE = "it was killed, or its machine is gone"
# What rank 0 says, which gives up first, and the rest.
MISSED = "rank 2 of 3 did not start|rank 0 ended or fell silent before all ranks had started"
CASES: Mapping[str, Hit] = {
    "rank 1 killed before it joins": Hit("joining", 1, 1, KILL, "rank 1 of 2 did not start", 330),
    "rank 0 killed before it joins": Hit("joining", 1, 0, KILL, "rank 0 cannot be reached", 330),
    "rank 1 killed in a gather": Hit("gather", 2, 1, KILL, GONE),
    "rank 0 killed in a gather": Hit("gather", 2, 0, KILL, GONE),
    "rank 1 killed in a step": Hit("step", 5, 1, KILL, GONE),
    "rank 1 killed in evaluation": Hit("evaluation", 1, 1, KILL, GONE),
    "rank 0 killed in evaluation": Hit("evaluation", 1, 0, KILL, GONE),
    "rank 0 killed in the middle of a checkpoint": Hit("checkpoint", 2, 0, KILL, GONE),
    "rank 1 killed during a checkpoint of rank 0": Hit("end of a checkpoint", 2, 1, KILL, GONE),
    "rank 1 stopped for 20 s in a step": Hit("step", 5, 1, STOP, None, PATIENCE, stopped=20),
    "rank 1 stopped for 60 s in a step": Hit("step", 5, 1, STOP, None, PATIENCE, stopped=60),
    "rank 0 stopped for 60 s in a step": Hit("step", 5, 0, STOP, None, PATIENCE, stopped=60),
    "rank 1 stopped for 60 s in evaluation": Hit("evaluation", 1, 1, STOP, None, PATIENCE, stopped=60),
    "rank 1 of 3 killed in a gather": Hit("gather", 2, 1, KILL, GONE, size=3),
    "rank 2 of 3 killed in evaluation": Hit("evaluation", 1, 2, KILL, GONE, size=3),
    "rank 0 of 3 killed in the middle of a checkpoint": Hit("checkpoint", 2, 0, KILL, GONE, size=3),
    "rank 2 of 3 stopped for 60 s in a step": Hit("step", 5, 2, STOP, None, PATIENCE, stopped=60, size=3),
    "rank 2 of 3 killed before it joins": Hit("joining", 1, 2, KILL, MISSED, 330, size=3),
}


def measure(count: int, seed: int, folder: Path, case: str = "") -> Iterator[Row]:
    """Tries each of `CASES` with ``case`` in its name, and yields its row; none without Horovod."""
    if importlib.util.find_spec("horovod") is None:
        return
    chosen = {name: hit for name, hit in CASES.items() if case in name}
    ranks = {size: Ranks(folder / f"{size}", size) for size in sorted({hit.size for hit in chosen.values()})}
    for name, hit in chosen.items():
        yield row(name, *ranks[hit.size].hit(hit, folder / name.replace(" ", "-")))


def row(name: str, faults: Sequence[str], note: str) -> Row:
    """Returns the row of a case that was tried once."""
    return Row("ranks", name, 1, len(faults), note, faults=[f"{name}: {fault}" for fault in faults])


class Ranks:
    """Trainings of ``size`` ranks on one data set, beside one that was left alone."""

    def __init__(self, folder: Path, size: int = 2) -> None:
        self._size = size
        # What is sent together decides how a sum of more than two is rounded.
        apart = ["--fusion-mb", 0] if size > 2 else []
        data = make_shapes(folder / "data", train=24, val=4, size=(96, 128))
        self._flags = [*FLAGS, *apart, "--data", data]
        self.whole = folder / "whole"
        if (fault := self.end(self.train(self.whole), PATIENCE)) is not None:
            raise RuntimeError(fault)

    def train(
        self, run: Path, resume: bool = False, hits: Mapping[int, Sequence[object]] | None = None
    ) -> list[Running]:
        """Starts all ranks of a training; ``hits``: what `rank_moments` does in some of them."""
        words = [*self._flags, "--output", run, *(["--resume"] if resume else [])]
        port, running = free_port(), []
        for rank in range(self._size):
            before, variables = self.place(rank, port)
            hit, log = (hits or {}).get(rank, ("-", 0, 0, "-")), run.with_name(f"{run.name}.{rank}.log")
            running.append(start([PROGRAM, *hit, *words], log, variables, before=before))
        return running

    def place(self, rank: int, port: int) -> tuple[Sequence[str], dict[str, str]]:
        """Returns the words before a rank's command, and what it is told."""
        return (), launched(rank, f"127.0.0.1:{port}", self._size)

    def end(self, running: Sequence[Running], seconds: float, status: int | None = 0) -> str | None:
        """Waits for the end of ranks; returns what is wrong with it. ``status``: None for any but 0."""
        deadline, faults = time.monotonic() + seconds, []
        for each in running:
            if not each.wait(max(0, deadline - time.monotonic())):
                faults.append(f"goes on after {seconds:.0f} s")
                each.kill()
            if each.survivors():
                faults.append("a process outlives its rank")
            code = each.process.returncode
            if not faults and (code == 0 if status is None else code != status):
                faults.append(f"status {code}: {each.text()[-800:]}")
        return "; ".join(faults) or None

    def hit(self, case: Hit, run: Path) -> tuple[list[str], str]:
        """Trains with one rank that is hit; returns what went wrong, and what the others did."""
        sign = run.with_suffix(".sign")
        running = self.train(run, hits={case.rank: (case.moment, case.nth, int(case.number), sign)})
        victim = running.pop(case.rank)
        if not wait_for(sign.exists, [victim]):
            self.end([victim, *running], 0)
            return [f"the moment did not come: {victim.text()[-800:]}"], ""
        began = time.monotonic()
        faults = list(self._end_after(case, victim, running))
        took, on = time.monotonic() - began, case.says is None
        faults += self.goes_on(run, ended=on and not faults)
        return faults, f"{'all went on and ended' if on else 'the others ended'} after {took:.0f} s"

    def _end_after(self, case: Hit, victim: Running, others: Sequence[Running]) -> Iterator[str]:
        """Waits for the end of all ranks; yields what is wrong with it."""
        if case.stopped:
            others[0].wait(case.stopped)
            victim.send(signal.SIGCONT)
        if fault := self.end(others, case.seconds, 0 if case.says is None else None):
            yield fault
        if fault := self.end([victim], GRACE, -KILL if case.number == KILL else 0):
            yield f"the rank that was hit: {fault}"
        for other in others if case.says else ():
            if not re.search(case.says, error_line(other)):
                yield f"says {error_line(other)!r}"

    def goes_on(self, run: Path, ended: bool = False) -> Iterator[str]:
        """Resumes a training unless it has ``ended``; yields what differs from the one left alone."""
        yield from damaged(run)
        if not ended:
            fault = self.end(self.train(run, resume=(run / "checkpoints" / "last.ckpt").exists()), PATIENCE)
            if fault:
                yield f"resumed: {fault}"
        yield from differences(run, self.whole)
        shutil.rmtree(run, ignore_errors=True)


def wait_for(condition: Callable[[], bool], running: Sequence[Running]) -> bool:
    """Waits until a condition holds; returns False where one of the processes has ended before."""
    while not condition():
        if any(each.process.poll() is not None for each in running) and not condition():
            return False
        time.sleep(0.05)
    return True


def error_line(running: Running) -> str:
    """Returns the line of error that a rank has ended with, or the end of what it has printed."""
    # Horovod's thread complains at the same moment, and may have begun a line.
    found = re.search(r"error: (rank|a rank|Horovod) .*", running.text())
    return found[0] if found else running.text()[-800:]
