"""Trainings that are killed at random moments and resumed until they end, beside one that is left alone."""

from __future__ import annotations

import importlib.util
import itertools
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from compare import damaged, differences
from results import Row
from signals import DECK, SIGNALS
from trainings import Trainings

from gluon_ssd.data.shapes import make_shapes

# 24 images in batches of 2: 12 batches an epoch, a checkpoint every second step, an evaluation each epoch.
_FLAGS = (
    "train --recipe ssd_tiny/smoke --epochs 2 --max-steps none --batch-size 2 --eval-batch-size 2 "
    "--log-every 1 --checkpoint-steps 2 --save-every 1 --warmup-epochs 1 --decay-epochs 1 "
    "--eval-epochs 1 2 --lr 0.01"
)
FLAGS = _FLAGS.split()
# A chain that meets so many faults is given up.
ENOUGH = 5


class Variant(NamedTuple):
    """How a training is run; ``needs``: what must be installed for it."""

    flags: str = ""
    ranks: int = 1
    launcher: bool = False
    needs: str = "mxnet"


VARIANTS = {
    "plain": Variant(),
    "accumulate 2": Variant("--accumulate 2"),
    "async_val": Variant("--async-val"),
    "ema 0.9, adam": Variant("--ema 0.9 --optimizer adam --lr 0.001"),
    "accumulate 2, async_val, ema 0.9": Variant("--accumulate 2 --async-val --ema 0.9"),
    "dali": Variant("--data-pipeline dali", needs="nvidia.dali"),
    "dali, accumulate 2, async_val": Variant(
        "--data-pipeline dali --accumulate 2 --async-val", needs="nvidia.dali"
    ),
    "two ranks": Variant(ranks=2, needs="horovod"),
    "two ranks, async_val, ema 0.9": Variant("--async-val --ema 0.9", ranks=2, needs="horovod"),
    # Sums of three are rounded the same only where nothing is sent together.
    "three ranks": Variant("--fusion-mb 0", ranks=3, needs="horovod"),
    "two ranks by horovodrun": Variant(ranks=2, launcher=True, needs="horovod"),
}


def measure(
    count: int, seed: int, folder: Path, jobs: int = 1, case: str = "", signals: Sequence[str] = DECK
) -> Iterator[Row]:
    """Kills trainings ``count`` times in all, each variant its share, and yields a row for each variant.

    ``jobs`` trainings run at a time. ``case``: only variants with that in their name.
    """
    data = make_shapes(folder / "data", train=24, val=4, size=(96, 128))
    chosen = [name for name in VARIANTS if case in f"train: {name}" and _installed(VARIANTS[name].needs)]
    parts = -(-jobs // max(1, len(chosen)))
    shares = dict.fromkeys(itertools.product(chosen, range(parts)), 0)
    for unit in itertools.islice(itertools.cycle(shares), count):
        shares[unit] += 1
    with ThreadPoolExecutor(jobs) as pool:
        chains = {
            unit: pool.submit(Chain(*unit, data, folder, seed, signals).run, share)
            # Those that take longest come first.
            for unit, share in sorted(shares.items(), key=lambda item: -VARIANTS[item[0][0]].ranks)
            if share
        }
        for name in chosen:
            done = [chain.result() for (variant, _), chain in chains.items() if variant == name]
            yield _row(name, done)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@dataclass
class Outcome:
    """What came of a chain: ``kills`` by signal, how many trainings it had, how often they were resumed."""

    kills: Counter[str] = field(default_factory=Counter)
    trainings: int = 0
    resumed: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(self.kills.values())


def _row(variant: str, done: Sequence[Outcome]) -> Row:
    kills: Counter[str] = sum((each.kills for each in done), Counter())
    faults = [f"{variant}, {fault}" for each in done for fault in each.faults]
    count, trainings = sum(kills.values()), sum(each.trainings for each in done)
    resumed = sum(each.resumed for each in done)
    parts = ", ".join(f"{kills[name]} {name}" for name in SIGNALS)
    note = f"{parts}; {trainings} trainings, resumed {resumed} times"
    return Row("kills", f"train: {variant}", count, len(faults), note, faults=faults)


class Chain:
    """Trainings of one variant, each killed over and over until it ends and can be compared."""

    def __init__(
        self, variant: str, part: int, data: Path, folder: Path, seed: int, signals: Sequence[str]
    ) -> None:
        self._rng, self._signals = random.Random(f"{seed} {variant} {part}"), signals
        # Every chain begins at another place of the signals.
        self._first = self._rng.randrange(len(signals))
        self._folder = folder / f"{variant} {part}".replace(" ", "-").replace(",", "")
        self._folder.mkdir()
        flags, ranks, launcher, _ = VARIANTS[variant]
        words = [*FLAGS, *flags.split(), "--data", str(data)]
        self._trainings = Trainings(words, ranks, launcher, self._folder)

    def run(self, count: int) -> Outcome:
        """Kills ``count`` times, and returns what came of it."""
        outcome, whole = Outcome(), self._folder / "whole"
        if (fault := self._trainings.leave_alone(whole)) is not None:
            outcome.faults.append(f"left alone: {fault}")
            return outcome
        while outcome.count < count and len(outcome.faults) < ENOUGH:
            outcome.trainings += 1
            run = self._folder / f"run{outcome.trainings}"
            outcome.faults += [f"{run.name}: {fault}" for fault in self._one(run, whole, count, outcome)]
            shutil.rmtree(run, ignore_errors=True)
        return outcome

    def _one(self, run: Path, whole: Path, count: int, outcome: Outcome) -> Iterator[str]:
        """Kills one training until it ends or all kills are done; yields what is wrong."""
        for attempt in itertools.count():
            outcome.resumed += attempt > 0
            running = self._trainings.start(run, resume=attempt > 0)
            name = self._signals[(self._first + outcome.count) % len(self._signals)]
            last = outcome.count == count
            if last:
                fault = self._trainings.end(running)
            else:
                fault = self._trainings.kill(running, run, name, self._rng)
            ended = not any(each.process.returncode for each in running)
            outcome.kills[name] += not (last or ended)
            if fault:
                yield f"start {attempt}, {name}: {fault}"
                return
            if ended:
                break
            yield from damaged(run)
        yield from differences(run, whole)
