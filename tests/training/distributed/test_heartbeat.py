"""The connection of the ranks, without Horovod and its launch."""

import re

import pytest
from places import REPOSITORY

from gluon_ssd.training import heartbeat, rendezvous

# Both ranks in one process: rank 1 connects with what rank 0 shares, in a thread of its own.
START = """
import socket, threading
from gluon_ssd.training import heartbeat
from gluon_ssd.training.heartbeat import Heartbeat

shared, connect = [], lambda port: None

def share(value):
    if value is None:
        return shared[0]
    shared.append(value)
    connect(value[1])
    threading.Thread(target=lambda: ranks.append(Heartbeat(1, 2, share))).start()

ranks = []
"""


@pytest.fixture
def start(python):
    pytest.importorskip("psutil")
    return lambda code: python(START + code)


def test_strangers_do_not_keep_the_ranks_apart(start):
    """One says nothing and goes, one has another token, one sends a length that is far too large."""
    code = """
strangers = []

def connect(port):
    for data in (b"", b"\\0\\0\\0\\x10" + b"x" * 16, b"\\x7f\\xff\\xff\\xff"):
        stranger = socket.create_connection(("127.0.0.1", port))
        stranger.sendall(data)
        stranger.shutdown(socket.SHUT_WR)
        strangers.append(stranger)

first = Heartbeat(0, 2, share)
print([rank for rank, _ in first._others.values()])
"""
    assert start(code) == (0, "[1]\n", "")


def test_another_listener_at_the_address_is_not_taken_for_rank_0(start):
    code = """
first = Heartbeat(0, 2, share)
other = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: other.accept()[0].close()).start()
try:
    Heartbeat(1, 2, lambda value: (["127.0.0.1"], other.getsockname()[1], b"token"))
except Exception as error:
    print(str(error).replace(str(other.getsockname()[1]), "PORT"))
"""
    outcome = start(code)
    assert outcome.out.startswith("rank 1 cannot reach rank 0 at 127.0.0.1, port PORT; ")
    assert (outcome.status, outcome.err) == (0, "")


def test_a_rank_that_does_not_connect_is_named(start):
    code = """
heartbeat._PATIENCE = 0.2
try:
    Heartbeat(0, 3, lambda value: None)
except Exception as error:
    print(str(error).replace(socket.gethostname(), "HOST"))
"""
    outcome = start(code)
    assert outcome.out.startswith("rank 1 did not connect to rank 0, on HOST, in time; ")
    assert (outcome.status, outcome.err) == (0, "")


def test_the_end_of_a_rank_is_told_with_its_reason(start):
    code = """
first = Heartbeat(0, 2, share)
first.advice = lambda: "do this"
first.tell = lambda text: print("told:", text.replace(socket.gethostname(), "HOST"))
while not ranks: pass
ranks[0].fail("picture.jpg: cannot be read")
first._ending.wait()
threading.Event().wait()
"""
    outcome = start(code)
    assert outcome.status == 1
    assert outcome.out == "told: rank 1 on HOST ended: picture.jpg: cannot be read; do this\n"
    assert outcome.err.startswith("error: rank 1 on ") and outcome.err.count("\n") == 1


BOTH = "rank 1 on HOST and rank 2 on HOST ended: they were killed, or their machines are gone"


@pytest.mark.parametrize(
    "second, text",
    [
        ("hang_up(ranks[1])", BOTH),
        ("ranks[1].fail('it has no image')", "rank 2 on HOST ended: it has no image"),
    ],
)
def test_ranks_that_end_together_are_all_named_unless_one_has_a_reason(start, second, text):
    """A rank that is missed first may only have followed another."""
    code = f"""
import os, time

def connect(port):
    threading.Thread(target=lambda: ranks.append(Heartbeat(2, 3, share))).start()

def hang_up(rank):
    rank._silent = True
    for connection in rank._others:
        socket.socket(fileno=os.dup(connection.fileno())).shutdown(socket.SHUT_RDWR)

def wait(listening, original=heartbeat.wait):
    original(listening)
    time.sleep(0.5)
    return original(listening)

heartbeat.wait = wait
first = Heartbeat(0, 3, share)
while len(ranks) < 2: pass
ranks.sort(key=lambda rank: rank.rank)
hang_up(ranks[0])
{second}
first._ending.wait()
threading.Event().wait()
"""
    outcome = start(code)
    assert outcome.status == 1
    assert re.sub(r" on \S+", " on HOST", outcome.err) == f"error: {text}\n"


def test_the_page_states_how_long_the_ranks_wait():
    page = (REPOSITORY / "docs/distributed.md").read_text(encoding="utf-8")
    idle, interval, count = (seconds for _, seconds in heartbeat._KEEPALIVE)
    silence = f"{idle + interval * count} s: {idle} s of silence, then {count} questions every {interval} s"
    assert f"| a rank whose machine or network is gone | {silence} |" in page
    assert f"| the connection of a rank to rank 0 | {heartbeat._PATIENCE:.0f} s |" in page
    assert f"| rank 0, which the others have to find first | {rendezvous.PATIENCE:.0f} s, " in page
