"""What a process learns from its launcher, and what it does without Horovod."""

import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gluon_ssd import machine
from gluon_ssd.errors import UserError
from gluon_ssd.launch import Launch, detect
from gluon_ssd.training import distributed
from gluon_ssd.training.distributed import check_group, connect
from gluon_ssd.training.rendezvous import first_host, meeting_point

OMPI = {"SIZE": "4", "RANK": "3", "LOCAL_SIZE": "2", "LOCAL_RANK": "1"}
SLURM = {
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "9",
    "SLURM_STEP_NUM_TASKS": "11",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2),3",
    "SLURM_NODEID": "2",
    "SLURM_LOCALID": "1",
}
TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "node1",
    "MASTER_PORT": "29500",
}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Launch()),
        ({f"HOROVOD_{name}": value for name, value in OMPI.items()}, Launch("horovodrun", 3, 4, 1, 2)),
        ({f"OMPI_COMM_WORLD_{name}": value for name, value in OMPI.items()}, Launch("mpirun", 3, 4, 1, 2)),
        (
            {"PMI_SIZE": "4", "PMI_RANK": "3", "MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "1"},
            Launch("mpirun", 3, 4, 1, 2),
        ),
        (SLURM, Launch("srun", 9, 11, 1, 3, (4, 4, 3))),
        (TORCHRUN, Launch("torchrun", 3, 4, 1, 2)),
        # srun has started one torchrun on each host.
        ({**SLURM, **TORCHRUN}, Launch("torchrun", 3, 4, 1, 2)),
        # Platforms that set these for one process each have no local rank.
        ({"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "node1"}, Launch()),
        # The shell of a batch script is not a task of a step.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, Launch()),
        ({"HOROVOD_FUSION_THRESHOLD": "1", "HOROVOD_RANK": "0"}, Launch()),
    ],
)
def test_who_started_it(environment, expected):
    assert detect(environment) == expected


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("node1", "node1"), ("node[03-07,9],x", "node03"), ("a,b", "a"), ("rack2-[1-2]-gpu", "rack2-1-gpu")],
)
def test_the_first_of_slurms_hosts(nodes, first):
    assert first_host(nodes) == first


def test_where_ranks_meet(monkeypatch):
    monkeypatch.delenv("GLUON_SSD_RENDEZVOUS", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    host, port = meeting_point(Launch("mpirun", 1, 2, 1, 2))
    assert host == "127.0.0.1" and 20000 <= port < 30000
    with pytest.raises(UserError, match="mpirun does not tell where rank 0 is; set GLUON_SSD_RENDEZVOUS="):
        meeting_point(Launch("mpirun", 1, 4, 1, 2))
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[5-6]")
    assert meeting_point(Launch("srun", 1, 4, 1, 2)) == ("node5", port)
    monkeypatch.setenv("GLUON_SSD_RENDEZVOUS", "node9:1234")
    assert meeting_point(Launch("srun", 1, 4, 1, 2)) == ("node9", 1234)
    monkeypatch.setenv("GLUON_SSD_RENDEZVOUS", "node9")
    with pytest.raises(UserError, match="it must be HOST:PORT"):
        meeting_point(Launch())


def test_torchrun_tells_every_host_where_ranks_meet(monkeypatch):
    for name in ("GLUON_SSD_RENDEZVOUS", "SLURM_JOB_ID", "PMIX_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    host, port = meeting_point(detect())
    assert host == "node1" and 20000 <= port < 30000
    monkeypatch.setattr(os, "getppid", lambda: 1)  # of another host
    assert meeting_point(detect()) == (host, port)


def test_processes_share_the_cores(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(machine, "cores", lambda: 8)
    monkeypatch.setattr(machine, "detect", lambda: Launch("mpirun", 0, 6, 0, 3))
    assert machine.threads() == 2
    monkeypatch.setattr(machine, "cores", lambda: 4)
    assert machine.threads() == 4  # mpirun has bound the process
    monkeypatch.setattr(machine, "detect", lambda: Launch("horovodrun", 0, 6, 0, 6))
    assert machine.threads() == 1


def test_without_horovod_one_line_says_what_to_do(monkeypatch, cli, shapes):
    for name, value in OMPI.items():
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", value)
    monkeypatch.setitem(sys.modules, "horovod.mxnet", None)
    result = cli("train", "--recipe", "ssd_tiny/smoke", "--data", shapes, "--output", "run")
    assert (result.status, result.err) == (
        2,
        "error: mpirun started 4 processes, but Horovod is not installed; make distributed\n",
    )


@pytest.mark.parametrize("present", [(), ("Sum",), ("ProcessSet",)])
def test_a_horovod_that_cannot_do_what_is_needed_is_named(monkeypatch, cli, shapes, present):
    """0.22, which NVIDIA's containers of 2021 bring, has neither sums of MXNet's arrays nor process sets."""
    for name, value in OMPI.items():
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", value)
    parent, module = ModuleType("horovod"), ModuleType("horovod.mxnet")
    parent.__version__, parent.mxnet = "0.22.1", module
    for name in present:
        setattr(module, name, object)
    monkeypatch.setitem(sys.modules, "horovod", parent)
    monkeypatch.setitem(sys.modules, "horovod.mxnet", module)
    result = cli("train", "--recipe", "ssd_tiny/smoke", "--data", shapes, "--output", "run")
    assert result.status == 2 and result.err.count("\n") == 1
    assert "Horovod 0.22.1 is too old, it must be 0.25.0 or newer" in result.err
    assert "nvcr.io/nvidia/mxnet:24.06-py3" in result.err


@pytest.mark.parametrize(
    ("given", "said"), [(None, "waits 300 s"), ("9", "waits 9 s"), ("x", "is 'x'; it must be a whole number")]
)
def test_gloo_waits_longer_than_a_machine_is_suspended_unless_told_otherwise(monkeypatch, given, said):
    class Horovod:
        Sum = ProcessSet = None
        mpi_built = staticmethod(lambda: True)

        @staticmethod
        def init(process_sets):
            raise RuntimeError(f"waits {os.environ['HOROVOD_GLOO_TIMEOUT_SECONDS']} s")

    for name, value in OMPI.items():
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", value)
    monkeypatch.setitem(sys.modules, "horovod", ModuleType("horovod"))
    sys.modules["horovod"].mxnet = Horovod
    monkeypatch.setitem(sys.modules, "horovod.mxnet", Horovod)
    monkeypatch.setenv("HOROVOD_GLOO_TIMEOUT_SECONDS", given or "")
    if given is None:
        monkeypatch.delenv("HOROVOD_GLOO_TIMEOUT_SECONDS")
    with pytest.raises(UserError, match=said):
        connect()


def test_rank_0_is_waited_for_as_long_as_the_other_ranks(monkeypatch):
    monkeypatch.setenv("GLUON_SSD_RENDEZVOUS", "127.0.0.1:9")
    with pytest.raises(UserError, match="rank 0 cannot be reached at 127.0.0.1:9: Connection refused"):
        distributed._meet(Launch("mpirun", 1, 2, 1, 2), seconds=0)


def test_one_process_is_a_world_of_its_own(cli, shapes, tmp_path):
    world = connect()
    assert (world.rank, world.size, world.gather("x"), world.share("y")) == (0, 1, ["x"], "y")
    assert world.every(True) and not world.every(False)
    result = cli("train", "--recipe", "ssd_tiny/smoke", "--data", shapes, "--output", "run", "--bn-group", 2)
    assert result.status == 2
    assert result.err.startswith("error: bn_group is 2, but there is one process; ")
    assert not (tmp_path / "run").exists()


def test_only_one_module_knows_horovod():
    package = Path(machine.__file__).parent
    imports = re.compile(r"(import|from) horovod\b")
    known = [path for path in package.rglob("*.py") if imports.search(path.read_text())]
    # The launcher is Horovod's own, started after gluon_ssd.
    assert sorted(known) == [package / "horovodrun.py", package / "training" / "distributed.py"]


def test_groups_divide_the_ranks():
    check_group(4, 8)
    with pytest.raises(UserError, match="bn_group is 3, which does not divide the 8 processes"):
        check_group(3, 8)
