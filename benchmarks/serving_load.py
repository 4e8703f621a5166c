"""Clients of a server: single requests, many in parallel, and SIGTERM amid them. See serving.py."""

from __future__ import annotations

import contextlib
import http.client
import io
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PATH = "/v1/detect?score_threshold=0.05"


class Server(NamedTuple):
    """A running server: its process and its port."""

    process: subprocess.Popen[str]
    port: int


class Load(NamedTuple):
    """What came of asking in parallel: seconds of each right answer, the others by kind, seconds in all."""

    seconds: list[float]
    wrong: Counter[str]
    total: float


@contextlib.contextmanager
def serving(source: str | Path, *flags: str) -> Iterator[Server]:
    """Runs a server on a free port until the block is left; it is ready when the block begins."""
    command = [sys.executable, "-m", "gluon_ssd", "serve", str(source), "--port", "0", *flags]
    with subprocess.Popen([*command, "--no-access-log"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("serving "):
                raise SystemExit("the server did not start")
            server = Server(process, int(line.rstrip("/\n").rpartition(":")[2]))
            ask(server.port, None, "/readyz")
            yield server
        finally:
            process.kill()


def ask(port: int, body: bytes | None, path: str = PATH, **headers: str) -> tuple[int, bytes]:
    """Returns status and body of the answer to one request."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def photos(count: int, size: tuple[int, int] = (640, 480)) -> list[bytes]:
    """Returns different pictures as JPEG."""
    import numpy as np
    from PIL import Image

    found = []
    for seed in range(count):
        coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(coarse).resize(size, Image.BICUBIC).save(buffer, "JPEG", quality=90)
        found.append(buffer.getvalue())
    return found


def same(first: Any, second: Any) -> bool:
    """Returns whether two answers agree but for what the rounding of another batch size changes."""
    ours, theirs = (sorted(_rows(answer)) for answer in (first, second))
    if abs(len(ours) - len(theirs)) > 1:
        return False
    # A detection at the threshold or at that of NMS may come or go. Another picture differs in nearly all.
    near = sum(any(_near(row, other) for other in theirs) for row in ours)
    return near >= len(ours) - 1


def _rows(answer: Any) -> list[tuple[Any, ...]]:
    (image,) = answer["images"]
    return [(one["class_id"], one["score"], *one["xyxy"]) for one in image["detections"]]


def _near(row: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    limits = (0, 1e-3, 0.5, 0.5, 0.5, 0.5)
    return all(abs(a - b) <= limit for a, b, limit in zip(row, other, limits))


def answers(port: int, pictures: Sequence[bytes]) -> list[Any]:
    """Returns the answer that each picture gets alone."""
    return [json.loads(ask(port, picture)[1]) for picture in pictures]


def load(
    port: int,
    pictures: Sequence[bytes],
    alone: Sequence[Any],
    clients: int,
    seconds: float = math.inf,
    requests: float = math.inf,
) -> Load:
    """Has ``clients`` ask in parallel, and compares each answer with that for the image alone.

    They end after so many ``seconds``, or after so many ``requests`` of all of them.
    """
    found, wrong, end = [], Counter[str](), time.monotonic() + seconds
    numbers = itertools.count()

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        index = number
        while time.monotonic() < end and next(numbers) < requests:
            index = (index + 1) % len(pictures)
            start = time.perf_counter()
            try:
                connection.request("POST", PATH, pictures[index])
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                wrong[type(error).__name__] += 1
                connection.close()
                continue
            if answer.status != 200:
                wrong[str(answer.status)] += 1
            elif not same(json.loads(body), alone[index]):
                wrong["another answer"] += 1
            else:
                found.append(time.perf_counter() - start)
        connection.close()

    start = time.perf_counter()
    in_parallel(client, clients)
    return Load(found, wrong, time.perf_counter() - start)


def in_parallel(call: Any, count: int) -> None:
    """Calls a function with 0, 1, ... in as many threads, and waits for all."""
    threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def stop_amid(server: Server, pictures: Sequence[bytes], clients: int) -> Counter[str]:
    """Sends SIGTERM while as many requests are accepted and not answered; returns what became of them."""
    seen: Counter[str] = Counter()

    def client(number: int) -> None:
        try:
            seen[str(ask(server.port, pictures[number % len(pictures)])[0])] += 1
        except (OSError, http.client.HTTPException) as error:
            seen[type(error).__name__] += 1

    asking = threading.Thread(target=in_parallel, args=(client, clients))
    asking.start()
    while waiting(server.port) < clients - sum(seen.values()):
        time.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    asking.join()
    seen[f"exit status {server.process.wait(60)}"] += 1
    return seen


def waiting(port: int) -> int:
    """Returns how many images the server has accepted and not answered."""
    return int(_metric(port, "gluon_ssd_images_waiting"))


def network_seconds(port: int) -> float:
    """Returns for how long the network of the server has computed so far."""
    return _metric(port, "gluon_ssd_batch_seconds_sum")


def _metric(port: int, name: str) -> float:
    lines = ask(port, None, "/metrics")[1].decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def memory(server: Server) -> float:
    """Returns how many megabytes the server has in memory."""
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor_seconds(server: Server) -> float:
    """Returns what the server has used of the processor so far, in all of its threads."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
