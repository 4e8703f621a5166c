"""Dynamic batching, with a detector that does what a test says."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_ssd.serving.batching import Batcher, Places, QueueFull


class Detector:
    """Finds one box on each image, whose score is the image's value; waits for `go` in every batch."""

    batch_size = 4

    def __init__(self):
        self.batches, self.go, self.started = [], threading.Event(), threading.Semaphore(0)

    def detect_batch(self, images):
        self.batches.append(images[:, 0].tolist())
        self.started.release()
        assert self.go.wait(30)
        if -1 in images:
            raise RuntimeError("out of memory")
        boxes = np.tile(np.array([0, 0, 0.5, 1], np.float32), (len(images), 1, 1))
        return np.zeros((len(images), 1)), images[:, :1], boxes


@pytest.fixture
def detector():
    return Detector()


@pytest.fixture
def batcher(detector):
    found = Batcher(detector)
    yield found
    detector.go.set()
    found.close()
    assert not found.alive


def submit(batcher, *values):
    return [batcher.submit(np.full(1, value, np.float32), (10, 20)) for value in values]


def test_what_collects_while_a_batch_computes_is_the_next_batch(detector, batcher):
    results = submit(batcher, 1)
    detector.started.acquire()
    results += submit(batcher, 2, 3, 4, 5, 6)
    detector.go.set()
    found = [result.result(30) for result in results]
    assert detector.batches == [[1], [2, 3, 4, 5], [6]]
    assert [float(scores[0]) for _, scores, _ in found] == [1, 2, 3, 4, 5, 6]
    assert found[0][0].tolist() == [[0, 0, 10, 10]] and found[0][2].tolist() == [0]


def test_what_was_cancelled_is_not_computed(detector, batcher):
    first = submit(batcher, 1)
    detector.started.acquire()
    second, third = submit(batcher, 2, 3)
    assert second.cancel() and not first[0].cancel()
    detector.go.set()
    third.result(30)
    assert detector.batches == [[1], [3]]
    with pytest.raises(CancelledError):
        second.result()


def test_a_batch_that_fails_is_told_and_the_next_one_runs(detector, batcher):
    detector.go.set()
    (failed,) = submit(batcher, -1)
    with pytest.raises(RuntimeError, match="out of memory"):
        failed.result(30)
    assert batcher.problem == "RuntimeError: out of memory"
    submit(batcher, 2)[0].result(30)
    assert batcher.problem is None


def test_closing_finishes_what_was_submitted(detector):
    batcher = Batcher(detector)
    results = submit(batcher, 1, 2, 3, 4, 5, 6, 7)
    detector.go.set()
    batcher.close()
    assert all(result.done() for result in results) and not batcher.alive


def test_batches_are_counted(detector):
    seen = []
    batcher = Batcher(detector, lambda images, seconds: seen.append((images, seconds > 0)))
    detector.go.set()
    submit(batcher, 1)[0].result(30)
    batcher.close()
    assert seen == [(1, True)] and batcher.seconds_per_image > 0


def test_the_queue_has_a_bound_and_tells_when_to_come_again():
    places = Places(5, SimpleNamespace(seconds_per_image=0.6))
    with places.take(3), places.take(2):
        with pytest.raises(QueueFull, match="try again in 3 s") as full, places.take(1):
            pass
        assert (full.value.seconds, places.taken) == (3, 5)
    assert places.taken == 0
    with pytest.raises(ValueError), places.take(1):
        raise ValueError
    assert places.taken == 0
