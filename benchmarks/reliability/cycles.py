"""Commands that are started and interrupted over and over, and what they leave on the machine."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

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


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Starts and interrupts each of `CASES` its share of ``count`` times, and yields a row for each."""
    data, run = trained(folder)
    share, rng = max(1, count // len(CASES)), random.Random(seed)
    for place, (name, words) in enumerate(CASES.items()):
        before, faults = shared_memory(), []
        for turn in range(share):
            found = _cycle(words, {"data": data, "run": run}, folder / f"case{place}-{turn}", rng)
            faults += [f"{name}, turn {turn}: {fault}" for fault in found]
        # Other programs of the machine have theirs, too, but seldom for as long as all turns take.
        if left := shared_memory() - before:
            faults.append(f"{name}: shared memory or semaphores are left: {sorted(left)}")
        yield Row("cycles", name, share, len(faults), "nothing was left", faults=faults)


def _cycle(words: str, given: Mapping[str, object], home: Path, rng: random.Random) -> Iterator[str]:
    """Starts a command in ``home`` and interrupts it, a server when it answers; yields what it leaves."""
    (home / "tmp").mkdir(parents=True)
    port, serves = free_port(), words.startswith("serve")
    arguments = words.format(**given, home=home, port=port).split()
    running = start(["-m", "gluon_ssd", *arguments], home / "log", {"TMPDIR": str(home / "tmp")})
    latest = time.monotonic() + PATIENCE
    while serves and running.process.poll() is None and time.monotonic() < latest and not answers(port):
        time.sleep(0.1)
    running.works(running.seconds() + rng.uniform(0, 1 if serves else 8))
    if fault := stop(running, rng.choice(SIGNALS), rng):
        yield fault
    if left := [str(path.relative_to(home)) for path in (*home.glob("tmp/*"), *home.rglob(".*"))]:
        yield f"files are left: {left}"
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        yield f"the port is still used: {error}"


def shared_memory() -> set[str]:
    """Returns the shared memory and the semaphores of the machine that have names or numbers."""
    found = {str(path) for path in Path("/dev/shm").iterdir()}
    for kind in ("shm", "sem", "msg"):
        table = Path("/proc/sysvipc", kind)
        found |= {f"{kind} {line.split()[1]}" for line in table.read_text().splitlines()[1:]}
    return found
