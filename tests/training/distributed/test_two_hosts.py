"""Two network namespaces, each with an address of its own, train as two hosts of one process each."""

import shutil
import subprocess
import sys

import pytest
from launching import environment, finish, free_port, need_horovod
from places import REPOSITORY

from gluon_ssd.data.shapes import make_shapes
from gluon_ssd.weights.checkpoint import read_checkpoint

# Rendezvous, gloo and the heartbeat all have to go over the wire between them.
HOSTS = ("gssd-one", "gssd-two")
ADDRESSES = ("10.213.7.1", "10.213.7.2")


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True)


@pytest.fixture
def hosts():
    need_horovod()
    missing = [program for program in ("ip", "unshare", "hostname") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"two hosts are made of namespaces, with {missing[0]}, which is not here")
    try:
        for host in HOSTS:
            ip("netns", "add", host)
        ip(
            "link",
            "add",
            "gssd0",
            "netns",
            HOSTS[0],
            "type",
            "veth",
            "peer",
            "name",
            "gssd1",
            "netns",
            HOSTS[1],
        )
        for number, (host, address) in enumerate(zip(HOSTS, ADDRESSES)):
            ip("-n", host, "addr", "add", f"{address}/24", "dev", f"gssd{number}")
            ip("-n", host, "link", "set", f"gssd{number}", "up")
            ip("-n", host, "link", "set", "lo", "up")
        yield HOSTS
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces are not allowed here: {error.stderr.strip()}")
    finally:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "del", host], capture_output=True)


def test_two_hosts_train_together(hosts, tmp_path):
    data = make_shapes(tmp_path / "data", train=10, val=3, size=(96, 128))
    flags = ("train", "--recipe", "ssd_tiny/smoke", "--batch-size", 2, "--max-steps", 2, "--data", data)
    command = [sys.executable, "-m", "gluon_ssd", *flags, "--output", tmp_path / "run"]
    port, processes = free_port(), []
    for rank, host in enumerate(hosts):
        env = environment(rank, 2, port, HOROVOD_GLOO_IFACE=f"gssd{rank}")
        env.update(OMPI_COMM_WORLD_LOCAL_RANK="0", OMPI_COMM_WORLD_LOCAL_SIZE="1")
        env.update(GLUON_SSD_RENDEZVOUS=f"{ADDRESSES[0]}:{port}")
        # Horovod takes one of its addresses from the host's name.
        named = ["unshare", "--uts", "sh", "-c", f'hostname {ADDRESSES[rank]} && exec "$@"', "sh"]
        words = ["ip", "netns", "exec", host, *named, *map(str, command)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(words, env=env, cwd=REPOSITORY, **pipes))
    results = finish(processes)
    assert [status for status, _, _ in results] == [0, 0], results
    assert "2 processes: 1 on 10.213.7.1, 1 on 10.213.7.2; " in results[0][1]
    assert "3 images evaluated" in results[0][1]
    progress = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt").progress
    assert (progress.step, progress.processes) == (2, 2)
