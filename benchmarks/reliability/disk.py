"""Every command on a disk that is full, that takes no more files, or that cannot be written. Needs root."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from processes import call, trained
from results import Row
from verbs import CASES, visible

from gluon_ssd import get_model
from gluon_ssd.tensor_files.archive import read_archive
from gluon_ssd.weights.checkpoint import save_checkpoint

MORE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "predict": ("predict {pictures} --weights {run} --output {out}/found --save images json csv crops", ()),
    "val": ("val {run} --output {out}/val", ()),
    "check": ("check {data} --output {out}/checked", ()),
    "train": (
        "train --recipe ssd_tiny/smoke --max-steps 2 --checkpoint-steps 1 --batch-size 2 --data {data} "
        "--save-every 1 --limit-val 2 --output {out}/run",
        (),
    ),
}
# What these write is not all or nothing: pictures, pages and splits come one after the other, each whole.
IN_PARTS = ("predict", "val", "check", "train", "prepare-records, recordio", "prepare-records, tfrecord")


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Runs each command on its share of ``count`` disks, and yields a row for each command."""
    data, run = trained(folder)
    net = folder / "net.ckpt"
    save_checkpoint(net, get_model("ssdlite320_mobilenet_v3_large", ["a", "b"]))
    cases = {**CASES, **MORE}
    for place, (name, (command, before)) in enumerate(cases.items()):
        disk = folder / f"disk{place}"
        disk.mkdir()
        words = command.format(run=run, net=net, data=data, pictures=data / "val", out=disk)
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
            faults += [f"{name}, {limit}: {fault}" for fault in _wrong(name, status, text, before, disk)]
    note = f"{refused} refused with one line; the others had room enough"
    return Row("disk", name, len(limits), len(faults), note, faults=faults)


def _attempt(command: str, before: tuple[str, ...], disk: Path) -> tuple[int, str]:
    for file in before:
        (disk / file).write_bytes(b"before")
    return call(command)


def _wrong(name: str, status: int, text: str, before: tuple[str, ...], disk: Path) -> Iterator[str]:
    """Yields what is wrong with how a command has ended and what it has left."""
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    if status == 0:
        return
    if status != 2 or len(errors) != 1:
        yield f"status {status} and {len(errors)} lines of error: {text.strip()[-1200:]}"
    left = [str(path.relative_to(disk)) for path in disk.rglob(".*")]
    if left:
        yield f"left behind: {left}"
    if name not in IN_PARTS and visible(disk) != dict.fromkeys(before, b"before"):
        yield f"what was there before has changed: {sorted(visible(disk))}"
    for path in disk.rglob("*.ckpt"):
        try:
            if path.name not in before:
                read_archive(path)
        except Exception as error:
            yield f"a checkpoint that cannot be read: {error}"


@contextlib.contextmanager
def _mounted(disk: Path, options: str) -> Iterator[None]:
    """Mounts an empty file system of memory at ``disk``."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
    try:
        yield
    finally:
        # Something may still be open in a process whose command has failed.
        subprocess.run(["umount", "--lazy", disk], check=True)
