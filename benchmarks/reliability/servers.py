"""Servers that are killed: their port is free again, and none of their processes stays."""

from __future__ import annotations

import random
import socket
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from processes import start
from results import Row
from signals import stop


def kill_servers(run: Path, folder: Path, count: int, rng: random.Random, signals: Sequence[str]) -> Row:
    """Kills servers of two processes; the port is free again and no process stays."""
    faults, log = [], folder / "serve.log"
    port = free_port()
    for _ in range(count):
        arguments = ["-m", "gluon_ssd", "serve", run, "--port", port, "--workers", 2]
        running, ready, began = start(arguments, log), rng.random() < 0.7, time.monotonic()
        while (
            ready and running.process.poll() is None and time.monotonic() - began < 120 and not answers(port)
        ):
            time.sleep(0.1)
        if running.wait(rng.uniform(0, 2)):
            faults.append(f"serve ends by itself: {running.text()[-800:]}")
            continue
        fault = stop(running, rng.choice(signals), rng)
        faults += [f"serve: {fault}"] if fault else []
        if answers(port):
            faults.append("serve: the port is still served")
    return Row(
        "kills", "serve, two workers", count, len(faults), "the port was free each time", faults=faults
    )


def free_port() -> int:
    """Returns a port of this machine that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def answers(port: object) -> bool:
    """Returns whether a server at ``port`` is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
