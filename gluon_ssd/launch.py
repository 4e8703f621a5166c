"""Who started this process, and which of how many it is, as the environment tells."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """The place of this process among those started together; alone unless a launcher says otherwise.

    ``tasks`` are the numbers of processes on each host, in order of the hosts, where the launcher tells.
    """

    launcher: str = ""
    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    tasks: tuple[int, ...] = ()


def detect(environ: Mapping[str, str] | None = None) -> Launch:
    """Returns the launch that the environment describes.

    It knows horovodrun, mpirun (Open MPI, MPICH, Intel), srun, and torchrun (formerly
    torch.distributed.launch), with which DALI's example is started.
    """
    env = os.environ if environ is None else environ
    for launcher, prefix, local in (
        ("horovodrun", "HOROVOD_", "HOROVOD_LOCAL_"),
        ("mpirun", "OMPI_COMM_WORLD_", "OMPI_COMM_WORLD_LOCAL_"),
    ):
        if _number(env, prefix + "SIZE") and prefix + "RANK" in env:
            size, rank = _number(env, prefix + "SIZE"), _number(env, prefix + "RANK")
            return Launch(launcher, rank, size, _number(env, local + "RANK"), _number(env, local + "SIZE", 1))
    if _number(env, "PMI_SIZE") and "MPI_LOCALNRANKS" in env:
        local_rank, local_size = _number(env, "MPI_LOCALRANKID"), _number(env, "MPI_LOCALNRANKS", 1)
        return Launch("mpirun", _number(env, "PMI_RANK"), _number(env, "PMI_SIZE"), local_rank, local_size)
    # torchrun comes before Slurm, because it may itself be Slurm's one task on each host.
    if set(_TORCHRUN) <= set(env) and _number(env, "WORLD_SIZE") > 1:
        rank, size, local_rank, local_size = (_number(env, name) for name in _TORCHRUN[:4])
        return Launch("torchrun", rank, size, local_rank, local_size)
    # A batch script has SLURM_PROCID and SLURM_NTASKS as well; only what srun started has a step of its own.
    if "SLURM_STEP_ID" in env and "SLURM_PROCID" in env:
        size = _number(env, "SLURM_STEP_NUM_TASKS") or _number(env, "SLURM_NTASKS", 1)
        text = env.get("SLURM_STEP_TASKS_PER_NODE") or env.get("SLURM_TASKS_PER_NODE") or str(size)
        tasks = _tasks_per_node(text)
        node = _number(env, "SLURM_NODEID")
        local_size = tasks[node] if node < len(tasks) else size
        local_rank = _number(env, "SLURM_LOCALID")
        return Launch("srun", _number(env, "SLURM_PROCID"), size, local_rank, local_size, tasks)
    return Launch()


def _number(env: Mapping[str, str], name: str, missing: int = 0) -> int:
    text = env.get(name, "")
    return int(text) if text.isdecimal() else missing


def _tasks_per_node(text: str) -> tuple[int, ...]:
    """Slurm's ``4(x2),3`` as (4, 4, 3)."""
    tasks: list[int] = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        tasks += [int(count)] * int(times or 1)
    return tuple(tasks)
