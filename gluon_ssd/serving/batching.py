"""Dynamic batching: images of concurrent requests go through the network together.

One thread runs the network. While it computes, images collect in the queue, and the next batch is whatever
has collected, up to the batch size. A single request is never kept waiting for others to come.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Callable, NamedTuple

import numpy as np

from ..predict import Detector, to_pixels

# Boxes (n, 4) in pixels, scores (n,) and class ids (n,) of one image.
Found = tuple[np.ndarray, np.ndarray, np.ndarray]


class Job(NamedTuple):
    """An input of the network, the (height, width) of its image, and what will hold the result."""

    image: np.ndarray
    size: tuple[int, int]
    result: Future[Found]


class Batcher:
    """Runs a detector on the inputs that any thread submits, in batches.

    ``observe`` is told the number of images and the seconds of each batch.
    """

    def __init__(self, detector: Detector, observe: Callable[[int, float], None] | None = None) -> None:
        self._detector, self._observe = detector, observe or (lambda images, seconds: None)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.seconds_per_image = 0.0
        # Why the network cannot be relied on: no batch has come through it yet, or the last one failed.
        self.problem: str | None = "the network has not run yet"
        self._thread = threading.Thread(target=self._run, name="detector", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Returns whether the thread runs."""
        return self._thread.is_alive()

    def submit(self, image: np.ndarray, size: tuple[int, int]) -> Future[Found]:
        """Queues one input. A result that is cancelled before its batch starts costs nothing."""
        result: Future[Found] = Future()
        self._jobs.put(Job(image, size, result))
        return result

    def close(self) -> None:
        """Ends the thread after everything that was submitted is done."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            jobs, last = self._collect()
            if jobs:
                self._compute(jobs)
            if last:
                return

    def _collect(self) -> tuple[list[Job], bool]:
        """Returns the next batch, whose jobs can no longer be cancelled, and whether it is the last."""
        jobs: list[Job] = []
        job = self._jobs.get()
        while job is not None:
            if job.result.set_running_or_notify_cancel():
                jobs.append(job)
            if len(jobs) == self._detector.batch_size or self._jobs.empty():
                return jobs, False
            job = self._jobs.get()
        return jobs, True

    def _compute(self, jobs: list[Job]) -> None:
        start = time.perf_counter()
        try:
            outputs = self._detector.detect_batch(np.stack([job.image for job in jobs]))
            found = list(to_pixels(outputs, np.array([job.size for job in jobs])))
        except Exception as error:  # the thread has to outlive whatever a runtime raises
            self.problem = f"{type(error).__name__}: {error}"
            logging.getLogger(__name__).exception("a batch of %d images failed", len(jobs))
            for job in jobs:
                job.result.set_exception(error)
            return
        self.problem = None
        seconds = time.perf_counter() - start
        # A running mean of about the last ten batches, by which clients are told when to come again.
        each = seconds / len(jobs)
        self.seconds_per_image += (each - self.seconds_per_image) * (0.1 if self.seconds_per_image else 1.0)
        self._observe(len(jobs), seconds)
        for job, result in zip(jobs, found):
            job.result.set_result(result)


class QueueFull(Exception):
    """There is no room for the images of a request; ``seconds`` is when there should be."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the server is busy; try again in {seconds} s")
        self.seconds = seconds


class Places:
    """The bound of the queue: how many images are accepted and not yet answered.

    It is used in the event loop alone, and so it needs no lock.
    """

    def __init__(self, capacity: int, batcher: Batcher) -> None:
        self._capacity, self._batcher = capacity, batcher
        self.taken = 0

    @contextmanager
    def take(self, count: int) -> Iterator[None]:
        """Holds ``count`` places for the time of the block. Raises QueueFull where there are too few."""
        if self.taken + count > self._capacity:
            raise QueueFull(max(1, math.ceil(self.taken * self._batcher.seconds_per_image)))
        self.taken += count
        try:
            yield
        finally:
            self.taken -= count
