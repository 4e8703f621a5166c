"""Trainings that are killed at random moments and resumed until they end, beside one that is left alone."""

from __future__ import annotations

import csv
import importlib.util
import json
import random
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from processes import PATIENCE, Running, start, stop
from results import Row

from gluon_ssd.data.shapes import make_shapes
from gluon_ssd.tensor_files.archive import read_archive

# 24 images in batches of 2: 12 batches an epoch, a checkpoint every second step, an evaluation each epoch.
FLAGS = [
    "train",
    "--recipe",
    "ssd_tiny/smoke",
    "--epochs",
    "2",
    "--max-steps",
    "none",
    "--batch-size",
    "2",
    "--eval-batch-size",
    "2",
    "--log-every",
    "1",
    "--checkpoint-steps",
    "2",
    "--save-every",
    "1",
    "--warmup-epochs",
    "1",
    "--decay-epochs",
    "1",
    "--eval-epochs",
    "1",
    "2",
    "--lr",
    "0.01",
]
VARIANTS = {
    "plain": (),
    "accumulate 2": ("--accumulate", "2"),
    "async_val": ("--async-val",),
    "ema 0.9, adam": ("--ema", "0.9", "--optimizer", "adam", "--lr", "0.001"),
    "accumulate 2, async_val, ema 0.9": ("--accumulate", "2", "--async-val", "--ema", "0.9"),
    "two ranks": ("--eval-epochs", "2"),
}
# Most are the ones that leave no time to save anything.
SIGNALS = (signal.SIGKILL,) * 4 + (signal.SIGTERM, signal.SIGINT)
TIMES = {"images_per_second", "wait_share", "seconds"}


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Kills trainings ``count`` times in all, each variant its share, and yields a row for each variant."""
    data = make_shapes(folder / "data", train=24, val=4, size=(96, 128))
    variants = [name for name in VARIANTS if name != "two ranks" or importlib.util.find_spec("horovod")]
    for place, name in enumerate(variants):
        share = count * (place + 1) // len(variants) - count * place // len(variants)
        yield Chain(name, data, folder / f"variant{place}", random.Random(seed * 1000 + place)).row(share)


class Chain:
    """Trainings of one variant, each killed over and over until it ends and can be compared."""

    def __init__(self, variant: str, data: Path, folder: Path, rng: random.Random) -> None:
        self.ranks, self.variant, self.folder, self.rng = 1 + (variant == "two ranks"), variant, folder, rng
        self._flags = [*FLAGS, *VARIANTS[variant], "--data", str(data)]
        self.whole = folder / "whole"
        folder.mkdir()

    def row(self, count: int) -> Row:
        """Kills ``count`` times, and returns what came of it."""
        faults: list[str] = []
        kills: list[signal.Signals] = []
        alone = self.start(self.whole, resume=False)
        self._claimed(alone[0], self.whole)
        self._start_up = alone[0].seconds()
        while alone[0].works(1e9):
            pass
        self._training = alone[0].seconds() - self._start_up
        if self.wait(alone) != 0:
            return Row("kills", f"train: {self.variant}", 0, 1, faults=[alone[0].text()])
        runs, resumed = 0, 0
        while len(kills) < count:
            runs += 1
            run = self.folder / f"run{runs}"
            for attempt in range(10**6):
                number = self.rng.choice(SIGNALS)
                running = self.start(run, resume=attempt > 0)
                fault, killed = self._kill(running, run, number if len(kills) < count else None)
                kills += [number] * killed
                resumed += attempt > 0
                faults += [f"{self.variant}, run {runs}, start {attempt}: {fault}"] if fault else []
                if not killed or fault:
                    break
                faults += [f"{self.variant}, run {runs}: {text}" for text in damaged(run)]
            faults += [f"{self.variant}, run {runs}: {text}" for text in differences(run, self.whole)]
            shutil.rmtree(run, ignore_errors=True)
        parts = [f"{kills.count(number)} {number.name}" for number in dict.fromkeys(SIGNALS)]
        note = f"{', '.join(parts)}; {runs} trainings, resumed {resumed} times"
        return Row("kills", f"train: {self.variant}", len(kills), len(faults), note, faults=faults)

    def start(self, run: Path, resume: bool) -> list[Running]:
        """Starts the ranks of a training."""
        log = self.folder / f"{run.name}.log"
        arguments = ["-m", "gluon_ssd", *self._flags, "--output", run, *(["--resume"] if resume else [])]
        if self.ranks == 1:
            return [start(arguments, log)]
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
        places = [
            {"RANK": k, "SIZE": self.ranks, "LOCAL_RANK": k, "LOCAL_SIZE": self.ranks} for k in range(2)
        ]
        variables = [{f"OMPI_COMM_WORLD_{name}": str(n) for name, n in place.items()} for place in places]
        return [
            start(arguments, log.with_suffix(f".{k}.log"), {**each, "GLUON_SSD_RENDEZVOUS": address})
            for k, each in enumerate(variables)
        ]

    def wait(self, running: Sequence[Running]) -> int:
        """Waits for the end of all, and returns the first status that is not 0."""
        ends = [each.wait(PATIENCE) for each in running]
        for each in running:
            each.send(signal.SIGKILL, group=True)
            each.process.wait()
        return next(
            (each.process.returncode for each in running if each.process.returncode), int(not all(ends))
        )

    def _claimed(self, running: Running, run: Path, before: int = 0) -> None:
        """Waits until a training has claimed its folder: it has started up."""
        lock = run / "train.log"
        while running.process.poll() is None and (not lock.exists() or lock.stat().st_mtime_ns <= before):
            time.sleep(0.02)

    def _kill(self, running: list[Running], run: Path, number: int | None) -> tuple[str | None, bool]:
        """Ends a training at a random moment; returns what is wrong, and whether it was killed.

        One kill in ten comes while the program starts, the others when it has claimed its folder. None: it
        is left alone.
        """
        victim, lock = self.rng.choice(running), run / "train.log"
        moment = self.rng.uniform(0, self._start_up)
        if number is not None and self.rng.random() < 0.9:
            self._claimed(victim, run, lock.stat().st_mtime_ns if lock.exists() else 0)
            moment = victim.seconds() + self.rng.uniform(0, 0.9 * self._training)
        if number is None or not victim.works(moment):
            status = self.wait(running)
            text = "\n".join(each.text() for each in running)
            return (f"ended with status {status}: {text[-800:]}" if status else None), False
        fault = stop(victim, number, self.rng)
        # A rank that has lost another ends by itself, with one line.
        for other in running:
            if not other.wait(PATIENCE):
                fault = fault or f"a rank goes on {PATIENCE:.0f} s after the other's end"
                other.send(signal.SIGKILL, group=True)
                other.process.wait()
            if other.survivors():
                fault = fault or "a process outlives its rank"
        return fault, victim.process.returncode != 0


def damaged(run: Path) -> Iterator[str]:
    """Yields what is wrong with the files that a killed training shows under their names."""
    for path in sorted(run.rglob("*")) if run.is_dir() else ():
        try:
            if path.suffix == ".ckpt" and not path.name.startswith("."):
                read_archive(path)
            if path.suffix == ".json" and not path.name.startswith("."):
                json.loads(path.read_text())
        except Exception as error:
            yield f"{path}: {error}"


def differences(run: Path, whole: Path) -> Iterator[str]:
    """Yields what a run has otherwise than the one that was left alone."""
    names, others = (sorted(str(p.relative_to(f)) for p in f.rglob("*")) for f in (run, whole))
    if names != others:
        yield f"other files: {sorted(set(names) ^ set(others))}"
        return
    for path in sorted((whole / "checkpoints").iterdir()):
        (arrays, state), (other, other_state) = (
            read_archive(path),
            read_archive(run / "checkpoints" / path.name),
        )
        wrong = [name for name in arrays if arrays[name].tobytes() != other[name].tobytes()]
        if sorted(arrays) != sorted(other) or wrong or state["progress"] != other_state["progress"]:
            yield f"{path.name}: {len(wrong)} of {len(arrays)} arrays differ"
    if _metrics(run) != _metrics(whole):
        yield "metrics.csv differs"
    for name in ("detections.json", "per_class.csv"):
        if (run / "val" / name).read_bytes() != (whole / "val" / name).read_bytes():
            yield f"val/{name} differs"


def _metrics(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", newline="") as file:
        return [{key: text for key, text in row.items() if key not in TIMES} for row in csv.DictReader(file)]
