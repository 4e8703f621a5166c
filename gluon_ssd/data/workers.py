"""A pool of worker threads that works through numbered jobs and hands over the results in order."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, Callable, Protocol

_NAME = "gluon_ssd-loader"
_CLOSED = "the loader was closed while it was being read"


class Job(Protocol):
    """Work in ``slots`` independent parts, run by any threads, and a last part when all are done."""

    slots: int

    def run(self, slot: int) -> None: ...

    def finish(self) -> Any: ...


class WorkerPool:
    """Runs jobs 0 .. count-1, made by ``make(number)`` when their turn comes.

    At most ``prefetch`` jobs are begun ahead of the consumer. With ``workers`` 0 all is done in the
    consumer's thread. An exception in a job is raised where its result is due, that of the lowest slot if
    several fail, so that the outcome does not depend on timing. ``wait_seconds`` is the time the consumer
    spent waiting.
    """

    def __init__(self, count: int, make: Callable[[int], Job], workers: int, prefetch: int) -> None:
        self.wait_seconds = 0.0
        self._jobs, self._ahead = map(make, range(count)), prefetch if workers else 1
        self._executor = ThreadPoolExecutor(workers, _NAME) if workers else None
        self._closed = False

    def results(self) -> Iterator[Any]:
        """Yields the results in order; the threads start with the first."""
        begun = deque(map(self._begin, itertools.islice(self._jobs, self._ahead)))
        while begun:
            start = time.perf_counter()
            # Only `close` cancels what has been begun.
            with contextlib.suppress(CancelledError):
                (result,) = [last for part in begun.popleft() for last in part()]
            if self._closed:
                raise RuntimeError(_CLOSED)
            begun.extend(map(self._begin, itertools.islice(self._jobs, 1)))
            self.wait_seconds += time.perf_counter() - start
            yield result

    def close(self) -> None:
        """Stops and joins the threads; each finishes the part it is at. May be called again."""
        self._closed = True
        if self._executor is not None:
            # An abandoned iteration may be collected by one of its own threads, which cannot join itself.
            wait = not threading.current_thread().name.startswith(_NAME)
            self._executor.shutdown(wait, cancel_futures=True)

    def _begin(self, job: Job) -> list[Callable[[], list[Any]]]:
        """Returns a function for each slot that waits for it; the slot that ended last returns the result."""
        ended = itertools.count(1)

        def run(slot: int) -> list[Any]:
            job.run(slot)
            # Threads may call `next` on a count at the same time, so that only one of them is the last.
            return [job.finish()] if next(ended) == job.slots else []

        if self._executor is None:
            return [functools.partial(run, slot) for slot in range(job.slots)]
        try:
            return [self._executor.submit(run, slot).result for slot in range(job.slots)]
        except RuntimeError:
            raise RuntimeError(_CLOSED) from None
