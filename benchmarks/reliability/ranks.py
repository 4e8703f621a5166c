"""Two ranks, of which one is killed or stopped at a chosen moment: what the other does, how both go on."""

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

from gluon_ssd.data.shapes import make_shapes

PROGRAM = REPOSITORY / "benchmarks" / "reliability" / "rank_moments.py"
FLAGS = [*FLAGS, "--eval-epochs", "2"]
KILL, STOP = signal.SIGKILL, signal.SIGSTOP


class Hit(NamedTuple):
    """What happens to one rank, and what its other is to do within ``seconds`` from then.

    ``stopped``: seconds until a stopped rank is continued. ``says``: what the line of the other has, None
    where both go on to the end.
    """

    moment: str
    nth: int
    rank: int
    number: int
    says: str | None
    seconds: float = 60
    stopped: float = 0


GONE = "it was killed, or its machine is gone"
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
}


def measure(count: int, seed: int, folder: Path, case: str = "") -> Iterator[Row]:
    """Tries each of `CASES` with ``case`` in its name, and yields its row; none without Horovod."""
    if importlib.util.find_spec("horovod") is None:
        return
    pair = Pair(folder)
    for name in [name for name in CASES if case in name]:
        yield row(name, *pair.hit(CASES[name], folder / name.replace(" ", "-")))


def row(name: str, faults: Sequence[str], note: str) -> Row:
    """Returns the row of a case that was tried once."""
    return Row("ranks", name, 1, len(faults), note, faults=[f"{name}: {fault}" for fault in faults])


class Pair:
    """Trainings of two ranks on one data set, beside one that was left alone."""

    def __init__(self, folder: Path) -> None:
        self._flags = [*FLAGS, "--data", make_shapes(folder / "data", train=24, val=4, size=(96, 128))]
        self.whole = folder / "whole"
        if (fault := self.end(self.train(self.whole), PATIENCE)) is not None:
            raise RuntimeError(fault)

    def train(
        self, run: Path, resume: bool = False, hits: Mapping[int, Sequence[object]] | None = None
    ) -> list[Running]:
        """Starts both ranks of a training; ``hits``: what `rank_moments` does in some of them."""
        words = [*self._flags, "--output", run, *(["--resume"] if resume else [])]
        port, running = free_port(), []
        for rank in range(2):
            before, variables = self.place(rank, port)
            hit, log = (hits or {}).get(rank, ("-", 0, 0, "-")), run.with_name(f"{run.name}.{rank}.log")
            running.append(start([PROGRAM, *hit, *words], log, variables, before=before))
        return running

    def place(self, rank: int, port: int) -> tuple[Sequence[str], dict[str, str]]:
        """Returns the words before a rank's command, and what it is told."""
        return (), launched(rank, f"127.0.0.1:{port}")

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
        """Trains with one rank that is hit; returns what went wrong, and what the other did."""
        sign = run.with_suffix(".sign")
        running = self.train(run, hits={case.rank: (case.moment, case.nth, int(case.number), sign)})
        victim, other = running[case.rank], running[1 - case.rank]
        if not wait_for(sign.exists, [victim]):
            self.end(running, 0)
            return [f"the moment did not come: {victim.text()[-800:]}"], ""
        began = time.monotonic()
        faults = list(self._end_after(case, victim, other))
        took, on = time.monotonic() - began, case.says is None
        faults += self.goes_on(run, ended=on and not faults)
        return faults, f"{'both went on and ended' if on else 'the other ended'} after {took:.0f} s"

    def _end_after(self, case: Hit, victim: Running, other: Running) -> Iterator[str]:
        """Waits for the end of both ranks; yields what is wrong with it."""
        if case.stopped:
            other.wait(case.stopped)
            victim.send(signal.SIGCONT)
        if fault := self.end([other], case.seconds, 0 if case.says is None else None):
            yield fault
        if fault := self.end([victim], GRACE, -KILL if case.number == KILL else 0):
            yield f"the rank that was hit: {fault}"
        if case.says and case.says not in error_line(other):
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


def launched(rank: int, address: str, local: bool = True) -> dict[str, str]:
    """Returns what Open MPI's launcher tells a rank of two, on one machine or on two, and where rank 0 is."""
    values = {"RANK": rank, "SIZE": 2, "LOCAL_RANK": rank * local, "LOCAL_SIZE": 1 + local}
    told = {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in values.items()}
    return {**told, "GLUON_SSD_RENDEZVOUS": address}


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
