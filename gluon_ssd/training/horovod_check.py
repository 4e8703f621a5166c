"""Whether Horovod works here: two processes on this machine add a number."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from ..environment import ABSENT, BROKEN, Fact
from ..errors import UserError
from .distributed import connect, horovod_parts
from .rendezvous import VARIABLE

COST = "one process only"
ADD = f"from {__name__} import add; add()"
PATIENCE = 120


def horovod_facts() -> list[Fact]:
    """Returns a fact about the package, and one about a sum over two processes where it is installed."""
    try:
        version = metadata.version("horovod")
    except metadata.PackageNotFoundError:
        return [Fact("horovod", "not installed", ABSENT, f"{COST}: make distributed")]
    try:
        parts = horovod_parts()
    except UserError as error:
        return [Fact("horovod", version, BROKEN, f"{COST}: {error}")]
    return [Fact("horovod", f"{version}, built with {', '.join(parts)}"), _sum_of_two()]


def add() -> None:
    """Adds with the other process; `_sum_of_two` starts two that do so."""
    world = connect()
    assert world.gather(world.rank) == [0, 1]


def _sum_of_two() -> Fact:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    # Started as mpirun would, which may not be there.
    env = {**os.environ, VARIABLE: f"127.0.0.1:{port}"}
    env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).resolve().parents[2]), env.get("PYTHONPATH", "")])
    processes = []
    for rank in ("0", "1"):
        place = {"RANK": rank, "LOCAL_RANK": rank, "SIZE": "2", "LOCAL_SIZE": "2"}
        env.update({f"OMPI_COMM_WORLD_{name}": value for name, value in place.items()})
        command = [sys.executable, "-c", ADD]
        processes.append(
            subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        )
    said = b""
    try:
        for process in processes:
            said += process.communicate(timeout=PATIENCE)[1]
    except subprocess.TimeoutExpired:
        return Fact("horovod check", "failed", BROKEN, f"two processes did not meet in {PATIENCE} s")
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if any(process.returncode for process in processes):
        lines = said.decode(errors="replace").strip().splitlines() or ["no message"]
        return Fact("horovod check", "failed", BROKEN, lines[-1])
    return Fact("horovod check", "two processes on this machine work together")
