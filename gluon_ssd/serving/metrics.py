"""The numbers of a server in Prometheus' form."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST

# Where this variable names a folder, the workers of a server keep their numbers there, and any of them can
# tell the sum of all.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """What is counted. Each server has a registry of its own, so that several may live in a process."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = here = CollectorRegistry()
        self._requests = Counter(
            "gluon_ssd_requests", "Requests that were answered", ["path", "status"], registry=here
        )
        self._seconds = Histogram(
            "gluon_ssd_request_seconds",
            "Time from a request's first line to its answer",
            ["path"],
            buckets=_SECONDS,
            registry=here,
        )
        self._images = Counter("gluon_ssd_images", "Images that went through the network", registry=here)
        self._batch = Histogram(
            "gluon_ssd_batch_images", "Images that went through it together", buckets=_IMAGES, registry=here
        )
        self._computing = Histogram(
            "gluon_ssd_batch_seconds", "Time of a batch in the network", buckets=_SECONDS, registry=here
        )
        self._waiting = Gauge(
            "gluon_ssd_images_waiting",
            "Images that are accepted and not yet answered",
            registry=here,
            multiprocess_mode="livesum",
        )

    def request(self, path: str, status: int, seconds: float) -> None:
        """Counts a request. ``path`` has to be one of a few, or there would be a row for each."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, images: int, seconds: float) -> None:
        """Counts a batch."""
        self._images.inc(images)
        self._batch.observe(images)
        self._computing.observe(seconds)

    @contextmanager
    def waiting(self, images: int) -> Iterator[None]:
        """Counts images as waiting for the time of the block."""
        self._waiting.inc(images)
        try:
            yield
        finally:
            self._waiting.dec(images)

    def text(self) -> bytes:
        """Returns all numbers, of all workers where there are several."""
        registry = self._registry
        if os.environ.get(FOLDER):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry)
