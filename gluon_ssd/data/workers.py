"""A crew of threads that works through numbered jobs and hands over the results in order."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Protocol


class Job(Protocol):
    """Work in ``slots`` independent parts, run by any threads, and a last part when all are done."""

    slots: int

    def run(self, slot: int) -> None: ...

    def finish(self) -> Any: ...


class Crew:
    """Runs jobs 0 .. count-1, made by ``make(number)`` when their turn comes.

    At most ``prefetch`` jobs are begun ahead of the consumer. With ``workers`` 0 all is done in the
    consumer's thread. An exception in a job is raised where its result is due, that of the lowest slot if
    several fail, so that the outcome does not depend on timing. ``wait_seconds`` is the time the consumer
    spent waiting.
    """

    def __init__(self, count: int, make: Callable[[int], Job], workers: int, prefetch: int) -> None:
        self.wait_seconds = 0.0
        self._count, self._make, self._prefetch = count, make, prefetch
        self._lock = threading.Lock()
        self._room, self._ready = threading.Condition(self._lock), threading.Condition(self._lock)
        self._current = 0
        self._active: dict[int, _Active] = {}
        self._done: dict[int, tuple[Any, BaseException | None]] = {}
        self._taken = 0
        self._closed = False
        # Daemons, because a consumer may keep an iteration to the end of the process; _close_all joins them.
        self._threads = [
            threading.Thread(target=self._work, name=f"gluon_ssd-loader-{k}", daemon=True)
            for k in range(workers)
        ]
        _LIVE.add(self)

    def results(self) -> Iterator[Any]:
        """Yield the results in order; the threads start with the first."""
        for thread in self._threads:
            thread.start()
        for number in range(self._count):
            start = time.perf_counter()
            result = self._take(number) if self._threads else self._work_here(number)
            self.wait_seconds += time.perf_counter() - start
            yield result

    def close(self) -> None:
        """Stop and join the threads; each finishes the part it is at. May be called again."""
        with self._lock:
            self._closed = True
            self._room.notify_all()
            self._ready.notify_all()
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join()
        self._active.clear()
        self._done.clear()

    def _work_here(self, number: int) -> Any:
        if self._closed:
            raise RuntimeError("the loader was closed while it was being read")
        job = self._make(number)
        for slot in range(job.slots):
            job.run(slot)
        return job.finish()

    def _take(self, number: int) -> Any:
        with self._lock:
            while number not in self._done and not self._closed:
                self._ready.wait()
            if self._closed:
                raise RuntimeError("the loader was closed while it was being read")
            result, error = self._done.pop(number)
            self._taken = number + 1
            self._room.notify_all()
        if error is not None:
            raise error
        return result

    def _claim(self) -> tuple[int, int, _Active] | None:
        """Wait for room and take the next part: (job's number, slot, job); None at the end."""
        with self._lock:
            while not self._closed and self._taken + self._prefetch <= self._current < self._count:
                self._room.wait()
            number = self._current
            if self._closed or number >= self._count:
                return None
            if number not in self._active:
                self._active[number] = _Active(self._make(number))
            active = self._active[number]
            slot, active.begun = active.begun, active.begun + 1
            if active.begun == active.job.slots:
                self._current += 1
            return number, slot, active

    def _work(self) -> None:
        while True:
            claim = self._claim()
            if claim is None:
                return
            number, slot, active = claim
            error: BaseException | None = None
            try:
                active.job.run(slot)
            except BaseException as caught:
                error = caught
            with self._lock:
                if error is not None:
                    active.errors[slot] = error
                active.ended += 1
                last = active.ended == active.job.slots
            if last:
                self._deliver(number, active)

    def _deliver(self, number: int, active: _Active) -> None:
        result: Any = None
        error = active.errors[min(active.errors)] if active.errors else None
        if error is None:
            try:
                result = active.job.finish()
            except BaseException as caught:
                error = caught
        with self._lock:
            self._active.pop(number, None)
            self._done[number] = (result, error)
            self._ready.notify_all()


@dataclass
class _Active:
    """A job under way."""

    job: Job
    begun: int = 0
    ended: int = 0
    errors: dict[int, BaseException] = field(default_factory=dict)


_LIVE: weakref.WeakSet[Crew] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for crew in list(_LIVE):
        crew.close()
