"""Starting several ranks on this machine as mpirun would, without it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from places import REPOSITORY

GONE = ("OMP_NUM_THREADS", "MXNET_OMP_MAX_THREADS")


def need_horovod():
    # Not imported here: it would change which libraries this process finds.
    if importlib.util.find_spec("horovod") is None:
        pytest.skip("Horovod is not installed (make distributed)")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def environment(rank, size, port, **more):
    """What a process of Open MPI's mpirun sees, with one thread each."""
    place = {"RANK": rank, "SIZE": size, "LOCAL_RANK": rank, "LOCAL_SIZE": size}
    env = {key: value for key, value in os.environ.items() if key not in GONE}
    env.update({f"OMPI_COMM_WORLD_{name}": str(value) for name, value in place.items()})
    paths = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests" / "support")))
    env.update(PYTHONPATH=paths, OMP_NUM_THREADS="1", GLUON_SSD_RENDEZVOUS=f"127.0.0.1:{port}", **more)
    return env


def start(size, *arguments, cwd=None, **more):
    """Starts ``size`` processes of ``python arguments``."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env=environment(rank, size, port, **more),
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def finish(processes, timeout=180):
    """Waits for all; returns (status, stdout, stderr) of each. None is left behind."""
    try:
        outputs = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs)]


def outlive(folder, size, *arguments, timeout=180, **options):
    """Starts ranks in ``folder``, of which one ends early; returns what `finish` returns.

    Does so again, at most twice and in an empty folder, where MXNet has crashed in a rank that outlives
    another (docs/distributed.md, "When something goes wrong"). A crash that comes every time is returned.
    """
    for attempt in range(3):
        for path in folder.iterdir() if attempt else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        results = finish(start(size, *arguments, cwd=folder, **options), timeout)
        if not any(map(_crashed, results)):
            break
    return results


def _crashed(result):
    """Whether a rank has ended by MXNet's handler of segmentation faults, or by the C library's abort."""
    status, _, err = result
    return (status == 255 and "Segmentation fault: 11" in err) or status in (-signal.SIGSEGV, -signal.SIGABRT)


def run(size, *arguments, **options):
    """Runs ``size`` processes to their end, which must be a good one; returns what they printed."""
    results = finish(start(size, *arguments, **options))
    assert [status for status, _, _ in results] == [0] * size, results
    return "".join(output for _, output, _ in results)
