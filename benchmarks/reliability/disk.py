"""Every command on a disk that is full, that takes no more files, or that cannot be written. Needs root."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from commands import MORE, materials, wrong
from processes import call
from results import Row
from verbs import CASES


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Runs each command on its share of ``count`` disks, and yields a row for each command."""
    made = materials(folder)
    cases = {**CASES, **MORE}
    for place, (name, (command, before)) in enumerate(cases.items()):
        disk = folder / f"disk{place}"
        disk.mkdir()
        words = made.words(command, disk)
        yield _row(name, words, before, disk, max(3, count // len(cases)), random.Random(seed * 1000 + place))


def _row(name: str, command: str, before: tuple[str, ...], disk: Path, count: int, rng: random.Random) -> Row:
    with _mounted(disk, "size=256m"):
        status, text = _attempt(command, before, disk)
        if status:
            return Row("disk", name, 0, 1, faults=[f"{name}: {text[-1500:]}"])
        used = os.statvfs(disk)
        need = (used.f_blocks - used.f_bfree) * used.f_frsize
        inodes = used.f_files - used.f_ffree
    # The smallest that hold what is there before, so that only what the command writes is refused.
    least, files = 4096 * (len(before) + 2), len(before) + 2
    limits = ["ro"]
    limits += [f"size=64m,nr_inodes={rng.randint(files, max(files, inodes - 1))}" for _ in range(count // 4)]
    limits += [f"size={rng.randint(least, max(least, need - 4096))}" for _ in range(count - len(limits))]
    faults, refused = [], 0
    for limit in limits:
        with _mounted(disk, "size=64m" if limit == "ro" else limit):
            for file in before:
                (disk / file).write_bytes(b"before")
            if limit == "ro":
                subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            status, text = call(command)
            refused += status == 2
            faults += [f"{name}, {limit}: {fault}" for fault in wrong(name, status, text, before, disk)]
    note = f"{refused} refused with one line; the others had room enough"
    return Row("disk", name, len(limits), len(faults), note, faults=faults)


def _attempt(command: str, before: tuple[str, ...], disk: Path) -> tuple[int, str]:
    for file in before:
        (disk / file).write_bytes(b"before")
    return call(command)


@contextlib.contextmanager
def _mounted(disk: Path, options: str) -> Iterator[None]:
    """Mounts an empty file system of memory at ``disk``."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
    try:
        yield
    finally:
        # Something may still be open in a process whose command has failed.
        subprocess.run(["umount", "--lazy", disk], check=True)
