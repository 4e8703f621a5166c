"""Worker threads that work through jobs, or a function over items, and hand over the results in order."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, Callable, Protocol, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_NAME = "gluon_ssd-loader"
_CLOSED = "the loader was closed while it was being read"


def map_ahead(
    function: Callable[[_Item], _Result], items: Iterable[_Item], workers: int, ahead: int
) -> Iterator[_Result]:
    """Yields ``function(item)`` for each item in order; ``workers`` threads begin ``ahead`` items early.

    The consumer's thread reads ``items``, so that these may be the work of another such iterator. An
    exception of the function is raised where its result is due.
    """
    executor, pending = ThreadPoolExecutor(workers, _NAME), iter(items)
    try:
        begun = deque(executor.submit(function, item) for item in itertools.islice(pending, ahead))
        while begun:
            result = begun.popleft().result()
            begun.extend(executor.submit(function, item) for item in itertools.islice(pending, 1))
            yield result
    finally:
        executor.shutdown(cancel_futures=True)


class Job(Protocol):
    """Work in ``slots`` independent parts that any threads may run, and a last part after all of them."""

    slots: int

    def run(self, slot: int) -> None: ...

    def finish(self) -> Any: ...


class WorkerPool:
    """Runs jobs 0 .. count-1, each made by ``make(number)`` when its turn comes.

    At most ``prefetch`` jobs are begun ahead of the consumer. With ``workers`` 0 everything is done in the
    consumer's thread. An exception in a job is raised where the job's result is due; if several slots fail it
    is that of the lowest slot, so that the outcome does not depend on timing. ``wait_seconds`` is the time
    that the consumer spent waiting.
    """

    def __init__(self, count: int, make: Callable[[int], Job], workers: int, prefetch: int) -> None:
        self.wait_seconds = 0.0
        # A lazy map: a job takes the memory of a whole batch, so it is made no earlier than it is begun.
        self._jobs, self._ahead = map(make, range(count)), prefetch if workers else 1
        self._executor = ThreadPoolExecutor(workers, _NAME) if workers else None
        self._closed = False

    def results(self) -> Iterator[Any]:
        """Yields the results in order. The threads start with the first."""
        begun = deque(map(self._begin, itertools.islice(self._jobs, self._ahead)))
        while begun:
            start = time.perf_counter()
            # Only `close` cancels a job that has been begun.
            with contextlib.suppress(CancelledError):
                # Waiting for the slots in their order is what raises the exception of the lowest one. Exactly
                # one slot, the one that ended last, has returned the job's result.
                (result,) = [last for part in begun.popleft() for last in part()]
            if self._closed:
                raise RuntimeError(_CLOSED)
            # The next job is begun before this result is handed over, so that the threads work while the
            # consumer does.
            begun.extend(map(self._begin, itertools.islice(self._jobs, 1)))
            self.wait_seconds += time.perf_counter() - start
            yield result

    def close(self) -> None:
        """Stops and joins the threads; each finishes the part that it is working on.

        It may be called again.
        """
        self._closed = True
        if self._executor is not None:
            # An abandoned iteration may be collected by one of its own threads, which cannot join itself.
            wait = not threading.current_thread().name.startswith(_NAME)
            self._executor.shutdown(wait, cancel_futures=True)

    def _begin(self, job: Job) -> list[Callable[[], list[Any]]]:
        """Hands the slots of a job to the threads.

        Returns one function per slot, which waits for that slot. The function of the slot that ended last
        returns the job's result in a list, the others return an empty list.
        """
        ended = itertools.count(1)

        def run(slot: int) -> list[Any]:
            job.run(slot)
            # ``next`` on a count is atomic, so that exactly one of the threads sees the last number.
            return [job.finish()] if next(ended) == job.slots else []

        # Without threads nothing runs until the consumer calls the functions, one after the other.
        if self._executor is None:
            return [functools.partial(run, slot) for slot in range(job.slots)]
        try:
            return [self._executor.submit(run, slot).result for slot in range(job.slots)]
        except RuntimeError:
            # The executor refuses work after `close`; its own message would say nothing of the loader.
            raise RuntimeError(_CLOSED) from None
