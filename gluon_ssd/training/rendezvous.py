"""Where the processes of mpirun, srun or torchrun find each other."""

from __future__ import annotations

import os
import re
import socket
import time
import urllib.error
import urllib.request
import zlib

from ..errors import UserError
from ..launch import Launch

VARIABLE = "GLUON_SSD_RENDEZVOUS"
PATIENCE = 300.0


def meeting_point(launch: Launch) -> tuple[str, int]:
    """Returns host and port of rank 0: from GLUON_SSD_RENDEZVOUS, else from what the launcher tells.

    Raises UserError where that is not enough.
    """
    given = os.environ.get(VARIABLE)
    if given:
        host, _, text = given.rpartition(":")
        if not host or not text.isdecimal() or not 0 < int(text) < 65536:
            raise UserError(f"{VARIABLE} is {given!r}; it must be HOST:PORT, such as node01:29400")
        return host, int(text)
    if launch.size == launch.local_size:
        return "127.0.0.1", _port(launch)
    nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST")
    if launch.launcher == "srun" and nodes:
        return first_host(nodes), _port(launch)
    if launch.launcher == "torchrun":
        return os.environ["MASTER_ADDR"], _port(launch)
    raise UserError(
        f"{launch.launcher} does not tell where rank 0 is; set {VARIABLE}=HOST:PORT to its host, a free port"
    )


def first_host(nodes: str) -> str:
    """Returns the first of Slurm's hosts: node03 of ``node[03-07,9],other``."""
    found = re.match(r"([^\[,]+)(?:\[(\d+)[^\]]*\]([^,\[]*))?", nodes)
    return "".join(part or "" for part in found.groups()) if found else nodes


def _port(launch: Launch) -> int:
    """Returns a port, the same for all processes of a launch, and most likely another for another launch."""
    env = os.environ
    if launch.launcher == "torchrun":
        # That port itself is taken, by torch.
        name = f"{env['MASTER_ADDR']}:{env['MASTER_PORT']}"
    elif "SLURM_JOB_ID" in env:
        name = f"{env['SLURM_JOB_ID']}.{env.get('SLURM_STEP_ID', '')}"
    else:
        # Processes that mpirun starts on one machine have one parent.
        name = env.get("PMIX_NAMESPACE") or str(os.getppid())
    return 20000 + zlib.crc32(name.encode()) % 10000


def wait_for_rank_0(host: str, port: int, seconds: float) -> None:
    """Returns when somebody listens there. Raises UserError when nobody does for ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                reason = error.strerror or error
                raise UserError(f"rank 0 cannot be reached at {host}:{port}: {reason}") from None
        time.sleep(0.2)


def call_roll(rank: int, size: int, host: str, port: int, seconds: float) -> None:
    """Returns when all ranks have come to the store of rank 0, which listens there.

    Horovod's processes abort where one is missing. Raises UserError on rank 0 when a rank has not come within
    ``seconds``, and on the others when rank 0 has ended or does not answer.
    """
    store, deadline = f"http://{host}:{port}/arrived", time.monotonic() + seconds
    _ask(f"{store}/{rank}", b"here")
    for awaited in range(1, size) if rank == 0 else ("all",):
        # Rank 0 is the first to give up, and the others then see that it has ended.
        while not _ask(f"{store}/{awaited}"):
            if rank == 0 and time.monotonic() > deadline:
                raise UserError(f"rank {awaited} of {size} did not start within {seconds:.0f} seconds")
            # A thousand ranks ask less often.
            time.sleep(0.2 + size / 1000)
    if rank == 0:
        _ask(f"{store}/all", b"here")


def _ask(url: str, value: bytes | None = None) -> bool:
    """Puts a value into the store, or returns whether there is one."""
    # Whatever proxy the environment names, it is not meant for these.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, value, method="GET" if value is None else "PUT")
    try:
        with opener.open(request, timeout=30):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        raise UserError("rank 0 ended or fell silent before all ranks had started") from None
