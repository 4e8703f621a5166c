"""Commands that are started and interrupted over and over, and what they leave on the machine."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from processes import PATIENCE, Running, start, trained
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
    rng = random.Random(seed)
    for name, words in CASES.items():
        share, faults, before = max(1, count // len(CASES)), [], shared_memory()
        for turn in range(share):
            home = folder / f"{name.split()[0].strip(',')}{turn}"
            (home / "tmp").mkdir(parents=True)
            given = {"data": data, "run": run, "home": home, "port": free_port()}
            running = start(
                ["-m", "gluon_ssd", *words.format(**given).split()],
                home / "log",
                {"TMPDIR": str(home / "tmp")},
            )
            faults += [f"{name}, turn {turn}: {fault}" for fault in _cycle(running, given, rng)]
        # Other programs of the machine have theirs, too, but seldom for as long as all turns take.
        if left := shared_memory() - before:
            faults.append(f"{name}: shared memory or semaphores are left: {sorted(left)}")
        yield Row("cycles", name, share, len(faults), "nothing was left", faults=faults)


def _cycle(running: Running, given: Mapping[str, object], rng: random.Random) -> Iterator[str]:
    """Interrupts a command once, a server when it answers; yields what it leaves."""
    home, serving = Path(str(given["home"])), "serve" in str(running.process.args)
    latest = time.monotonic() + PATIENCE
    while (
        serving
        and running.process.poll() is None
        and time.monotonic() < latest
        and not answers(given["port"])
    ):
        time.sleep(0.1)
    running.works(running.seconds() + rng.uniform(0, 1 if serving else 8))
    if fault := stop(running, rng.choice(SIGNALS), rng):
        yield fault
    if left := [str(path.relative_to(home)) for path in (*home.glob("tmp/*"), *home.rglob(".*"))]:
        yield f"files are left: {left}"
    try:
        socket.create_server(("127.0.0.1", int(str(given["port"])))).close()
    except OSError as error:
        yield f"the port is still used: {error}"


def shared_memory() -> set[str]:
    """Returns the shared memory and the semaphores of the machine that have names or numbers."""
    found = {str(path) for path in Path("/dev/shm").iterdir()}
    for kind in ("shm", "sem", "msg"):
        table = Path("/proc/sysvipc", kind)
        found |= {f"{kind} {line.split()[1]}" for line in table.read_text().splitlines()[1:]}
    return found
