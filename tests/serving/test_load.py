"""A server in a process of its own, under what benchmarks/serving.py does to it, in short."""

from __future__ import annotations

import importlib
import sys
import threading

import pytest
from http_server import in_thread, wait_until
from places import REPOSITORY

from gluon_ssd.serving.app import create_app
from gluon_ssd.serving.batching import Batcher
from gluon_ssd.serving.settings import Settings


@pytest.fixture(scope="module")
def bench():
    """The functions of the benchmark."""
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    try:
        yield importlib.import_module("serving_load"), importlib.import_module("serving_attack")
    finally:
        sys.path.remove(str(REPOSITORY / "benchmarks"))


def test_parallel_clients_damaged_images_and_a_stop_amid_requests(bench, small_run):
    load, attack = bench
    photos = load.photos(8, (160, 120))
    with load.serving(small_run) as server:
        alone = load.answers(server.port, photos)
        done = load.load(server.port, photos, alone, clients=64, seconds=1.5)
        assert len(done.seconds) >= 64 and not done.wrong
        seen = attack.attack(server.port, 60)
        assert set(seen) <= {200, 400, 404, 406, 413, 415, 422} and seen[200] and seen[422]
        slow = attack.leave(server.port, 5)
        assert not load.load(server.port, photos, alone, clients=4, seconds=0.2).wrong
        # What was left alone no longer takes a place in the queue.
        wait_until(lambda: load.waiting(server.port) == 0)
        for connection in slow:
            connection.close()
        assert load.stop_amid(server, photos, 32) == {"200": 32, "exit status 0": 1}


def test_answers_of_other_images_are_noticed(bench):
    load, _ = bench
    box = {"class_id": 1, "score": 0.5, "xyxy": [1, 2, 3, 4]}
    other = {**box, "xyxy": [9, 2, 13, 4]}

    def answer(*found):
        return {"images": [{"detections": list(found)}]}

    assert load.same(answer(box, other), answer(other, box))
    assert not load.same(answer(box, box), answer(other, other))
    assert not load.same(answer(), answer(box, other))


@pytest.fixture
def held(request, opened, small_run, monkeypatch):
    """A server with a queue of 3, whose network waits for `go`; the parameter is its time for a request."""
    timeout = getattr(request, "param", 60)
    go, compute = threading.Event(), Batcher._compute
    monkeypatch.setattr(Batcher, "_compute", lambda self, jobs: go.wait(30) and compute(self, jobs))
    go.set()
    settings = Settings(str(small_run), queue=3, timeout=timeout, max_images=2)
    with in_thread(create_app(*opened, settings)) as client:
        go.clear()
        client.go = go
        yield client
        go.set()


def test_a_full_queue_says_when_to_come_again(bench, held):
    load, _ = bench
    (photo,) = load.photos(1, (60, 40))
    answers = []
    request = f"POST {load.PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(photo)}\r\n\r\n".encode() + photo
    waiting = [held.connect(request) for _ in range(3)]
    wait_until(lambda: load.waiting(held.port) == 3)
    answer = held(load.PATH, photo)
    assert answer.status == 429 and int(answer.headers["retry-after"]) >= 1
    assert "try again in" in answer.json["error"]
    held.go.set()
    for connection in waiting:
        answers.append(connection.recv(20))
        connection.close()
    assert answers == [b"HTTP/1.1 200 OK\r\ndat"] * 3
    assert held(load.PATH, photo).status == 200


@pytest.mark.parametrize("held", [1], indirect=True)
def test_what_takes_too_long_is_given_up(bench, held):
    load, _ = bench
    (photo,) = load.photos(1, (60, 40))
    answer = held(load.PATH, photo)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert load.waiting(held.port) == 0
    # Nobody waits for a body that does not come.
    connection = held.connect(b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nhello")
    assert connection.recv(20) == b"HTTP/1.1 408 Request"
    connection.close()


def test_who_leaves_gives_the_place_back(bench, held):
    load, _ = bench
    (photo,) = load.photos(1, (60, 40))
    request = f"POST {load.PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(photo)}\r\n\r\n".encode() + photo
    connections = [held.connect(request) for _ in range(3)]
    wait_until(lambda: load.waiting(held.port) == 3)
    for connection in connections:
        connection.close()
    wait_until(lambda: load.waiting(held.port) == 0)
    held.go.set()
    assert held(load.PATH, photo).status == 200
