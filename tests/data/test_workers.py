"""The worker pool, without images: order, place of errors, closing."""

from __future__ import annotations

import threading
import time

import pytest

from gluon_ssd.data.workers import WorkerPool, map_ahead

pytestmark = pytest.mark.usefixtures("no_threads_left")


class Squares:
    """A job whose slots square numbers; ``act(slot)`` is called in each."""

    def __init__(self, number, slots=3, act=lambda slot: None):
        self.slots, self._number, self._act = slots, number, act
        self._found = [None] * slots

    def run(self, slot):
        self._act(slot)
        self._found[slot] = (self._number * self.slots + slot) ** 2

    def finish(self):
        return self._found


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_results_come_in_order(workers):
    pool = WorkerPool(4, Squares, workers, prefetch=2)
    assert sum(pool.results(), []) == [k * k for k in range(12)]
    assert pool.wait_seconds > 0
    pool.close()


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_error_of_the_lowest_slot_is_raised_whichever_came_first(workers):
    def act(slot):
        if slot:
            time.sleep(0.05 if slot == 1 else 0)
            raise ValueError(f"slot {slot}")

    pool = WorkerPool(3, lambda k: Squares(k, act=act) if k == 1 else Squares(k), workers, prefetch=3)
    results = pool.results()
    assert next(results) == [0, 1, 4]
    with pytest.raises(ValueError, match="slot 1"):
        next(results)
    pool.close()


@pytest.mark.parametrize("slots", [1, 40])
def test_closing_wakes_a_consumer_that_waits(slots):
    """Another thread closes the pool; what the threads are at is finished, the rest is not begun."""
    begun, go = threading.Event(), threading.Event()
    ran = []

    def act(slot):
        ran.append(slot)
        begun.set()
        go.wait()

    pool = WorkerPool(9, lambda k: Squares(k, slots, act), workers=2, prefetch=2)

    def close():
        begun.wait()
        time.sleep(0.05)
        threading.Timer(0.05, go.set).start()
        pool.close()

    closer = threading.Thread(target=close)
    closer.start()
    with pytest.raises(RuntimeError, match="the loader was closed while it was being read"):
        list(pool.results())
    closer.join()
    assert len(ran) <= 2


def test_a_thread_of_the_pool_may_close_it():
    """As when an abandoned iteration is collected there as garbage."""
    pool = WorkerPool(1, lambda k: Squares(k, act=lambda slot: pool.close()), workers=2, prefetch=1)
    with pytest.raises(RuntimeError, match="closed"):
        list(pool.results())
    pool.close()


def test_a_function_over_items_works_ahead_of_its_consumer():
    """Of two that feed each other, and an error comes where its result is due."""
    read = []

    def items():
        for number in range(6):
            read.append(number)
            yield number

    squares = map_ahead(lambda number: number**2, items(), workers=2, ahead=2)
    results = map_ahead(lambda square: 10 // (9 - square), squares, workers=3, ahead=1)
    assert next(results) == 1 and read == [0, 1, 2, 3]
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ZeroDivisionError):
        next(results)
    squares.close()
