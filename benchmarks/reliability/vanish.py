"""Files that go, are cut short or cannot be read while a command reads them. Linux, as root.

A moment is one at which a file is opened, read or mapped.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from calls import READING, Call
from commands import TRAIN, Materials, materials, torn, wrong
from intercept import attempt
from moments import Moment, tried
from results import Row

CASES: Mapping[str, str] = {
    "train": TRAIN,
    "train from record files": TRAIN.replace("{data}", "{records}"),
    "train --resume": "train --resume --max-steps 3 --data {data} --output {run}",
    "val": "val {run} --data {data} --output {out}/val",
    "predict": "predict {pictures} {video} --weights {run} --output {out}/found",
    "convert-data": "convert-data {data} {out}/set --to yolo --images copy",
    "prepare-records": "prepare-records {data} {out}/set --shards 2",
    "check": "check {data} --decode --output {out}/checked",
    "export": "export {run} --format symbol --output {out}/m",
    "convert from .ckpt": "convert {net} {out}/m.safetensors",
    "convert from .pth": "convert {weights} {out}/m.ckpt --classes a b",
    "report": "report {run}",
}
WAYS = ("deleted", "cut short", "broken")
# A data set of which a part cannot be read is what this verb tells of.
STATUSES: Mapping[str, tuple[int, ...]] = {"check": (0, 1, 2)}


def measure(count: int, seed: int, folder: Path, case: str = "") -> Iterator[Row]:
    """Takes files from each command at its share of ``count`` moments, and yields its row.

    ``case``: only commands with that in their name, which then share the count.
    """
    made = materials(folder)
    cases = {name: command for name, command in CASES.items() if case in name}
    for place, (name, command) in enumerate(cases.items()):
        one = Case(name, command, folder / f"vanish{place}", made)
        rng = random.Random(f"{seed} {name}")
        about = f"{name}: a file goes while it is read"
        yield tried(about, Taking, WAYS, one.run, one.wrong, count // len(cases), rng)


class Case:
    """One command, in a folder with what it reads and what it writes."""

    def __init__(self, name: str, command: str, home: Path, made: Materials) -> None:
        self._name, self._command, self._home, self._made = name, command, home, made

    def run(self, moment: Moment) -> tuple[int, str]:
        shutil.rmtree(self._home, ignore_errors=True)
        given = self._made.copied(self._home / "given")
        (self._home / "out").mkdir()
        return attempt(given.words(self._command, self._home / "out"), self._home, moment)

    def wrong(self, status: int, text: str, moment: Moment) -> Iterator[str]:
        if status not in STATUSES.get(self._name, (0, 2)) or "Traceback" in text:
            yield f"status {status}: {text.strip()[-1500:]}"
        # Of pictures that cannot be read, each has its line.
        elif status == 2 and self._name != "predict":
            yield from wrong(self._name, status, text, (), self._home / "out")
        # Of a file that is not there the message may be that its folder has no such files.
        path = Path(moment.at.path) if moment.at else None
        if status and path and path.name not in text and f"{path.parent}: " not in text:
            yield f"does not name the file: {text.strip()[-500:]}"
        # A picture that is copied is as whole as it was.
        if self._name != "convert-data":
            yield from torn(self._home / "out")
        if status and self._name.startswith("train"):
            yield from self._resumed(moment)

    def _resumed(self, moment: Moment) -> Iterator[str]:
        """Yields what a training says that cannot go on once its files are there again."""
        given = self._made.copied(self._home / "given", but="run")
        words = given.words(self._command, self._home / "out")
        run = self._home / ("given/run" if "{run}" in self._command else "out/run")
        if moment.at is None or run not in Path(moment.at.path).parents:
            status, text = attempt(f"{words} --resume", self._home, Taking())
            if status:
                yield f"cannot be resumed: {text[-800:]}"


class Taking(Moment):
    """Spoils a file at the moment at which it is opened, read or mapped."""

    def __call__(self, call: Call) -> int:
        if call.name not in READING or "/given/" not in call.path or not os.path.isfile(call.path):
            return 0
        if not self.counted(call):
            return 0
        with contextlib.suppress(FileNotFoundError):
            if self.fault == "deleted":
                os.unlink(call.path)
            elif self.fault == "cut short":
                os.truncate(call.path, os.path.getsize(call.path) // 2)
        return errno.EIO if self.fault == "broken" else 0
