"""Commands that are started and interrupted over and over, and what they leave on the machine."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from processes import PATIENCE, start, trained
from results import Row
from servers import answers, free_port
from signals import stop

SIGNALS = ("SIGTERM", "SIGINT")
CASES: Mapping[str, str] = {
    "train --async-val": "train --recipe ssd_tiny/smoke --epochs 100 --max-steps none --batch-size 2 "
    "--eval-every 1 --async-val --data {data} --output {home}/run",
    "predict": "predict {data}/train --weights {run} --output {home}/out --save images json csv crops",
    "export": "export {run} --format onnx --output {home}/m.onnx",
    "serve, two workers": "serve {run} --port {port} --workers 2 --no-access-log",
}


def measure(count: int, seed: int, folder: Path, case: str = "") -> Iterator[Row]:
    """Starts and interrupts each of `CASES` its share of ``count`` times, and yields a row for each.

    ``case``: only commands with that in their name, which then share the count.
    """
    data, run = trained(folder)
    cases = {name: words for name, words in CASES.items() if case in name}
    share, rng = max(1, count // len(cases)), random.Random(seed)
    for place, (name, words) in enumerate(cases.items()):
        faults = []
        with own_memory() as holder:
            for turn in range(share):
                home = folder / f"case{place}-{turn}"
                given = {"data": data, "run": run, "home": home, "port": free_port()}
                faults += [f"turn {turn}: {fault}" for fault in _cycle(words, given, holder, rng)]
            faults += [f"shared memory or a semaphore is left: {left}" for left in shared_memory(holder)]
        yield Row("cycles", name, share, len(faults), "nothing was left", faults=faults)


def _cycle(words: str, given: Mapping[str, Any], holder: str, rng: random.Random) -> Iterator[str]:
    """Starts a command and interrupts it, a server when it answers; yields what it leaves."""
    home, port, serves = given["home"], given["port"], words.startswith("serve")
    (home / "tmp").mkdir(parents=True)
    arguments, temporary = words.format(**given).split(), {"TMPDIR": str(home / "tmp")}
    inside = ("nsenter", "--target", holder, "--mount", "--ipc", "--")
    # A process that has left the work to others takes hardly any time of the processor.
    clock = "wall" if serves else "cpu"
    running = start(["-m", "gluon_ssd", *arguments], home / "log", temporary, clock, before=inside)
    latest = time.monotonic() + PATIENCE
    while serves and running.process.poll() is None and time.monotonic() < latest and not answers(port):
        time.sleep(0.1)
    running.works(running.seconds() + rng.uniform(0, 1 if serves else 8))
    if fault := stop(running, rng.choice(SIGNALS), rng):
        yield fault
    if found := {*home.glob("tmp/*"), *home.rglob(".*")}:
        yield f"files are left: {sorted(str(path.relative_to(home)) for path in found)}"
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        yield f"the port is still used: {error}"


@contextlib.contextmanager
def own_memory() -> Iterator[str]:
    """Yields a process that holds shared memory and semaphores apart from those of other programs."""
    words = "mount -t tmpfs none /dev/shm && echo ready && exec sleep 100000"
    command = ["unshare", "--mount", "--ipc", "sh", "-c", words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            if holder.stdout is None or holder.stdout.readline() != "ready\n":
                raise RuntimeError("namespaces are not allowed here; be root")
            yield str(holder.pid)
        finally:
            holder.kill()


def shared_memory(holder: str) -> list[str]:
    """Returns what there is of shared memory, semaphores and queues beside a process of `own_memory`."""
    script = "ls -A /dev/shm; cd /proc/sysvipc; for kind in shm sem msg; do sed 1d $kind; done"
    command = ["nsenter", "--target", holder, "--mount", "--ipc", "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
