"""A server under load: is every answer right, how fast does it answer, does anything bring it down.

    python benchmarks/serving.py SOURCE [--clients 64] [--seconds 60] [--requests 20000] [--mutated 2000]
        [--flags "--workers 2"]

Starts `gluon-ssd serve SOURCE` in a process of its own. Clients that ask in parallel for a while must each
get the answer that the same image gets alone. Images/s are compared with what `gluon-ssd benchmark` measures,
which neither reads images nor answers anyone, and with what the detector does with the same files in batches,
each in turn on the same machine, of which the clients need their share. Then come many requests, after which
the server must need no more memory than after the first thousand; damaged images and wrong requests; clients
that leave and clients that are slow; and at last SIGTERM amid requests.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from serving_attack import attack, leave
from serving_load import (
    Load,
    Server,
    answers,
    load,
    memory,
    network_seconds,
    photos,
    processor_seconds,
    serving,
    stop_amid,
)

from gluon_ssd import Detector
from gluon_ssd.benchmark import Question, measure
from gluon_ssd.runtimes.sessions import is_model_file

_ROUNDS = 5
_BATCH = 8


def detector_speed(detector: Any, paths: Sequence[Path], seconds: float) -> tuple[float, float]:
    """Returns what the detector does with these files: images/s, and the processor's milliseconds of one."""
    start, used, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds:
        count += len(detector(paths))
    return count / (time.perf_counter() - start), 1e3 * (time.process_time() - used) / count


def compare(
    source: str, runtime: str, paths: Sequence[Path], server: Server, clients: int, seconds: float
) -> None:
    """Has benchmark, detector and server work in turn, so that all have as much of the machine."""
    pictures = [path.read_bytes() for path in paths]
    alone = answers(server.port, pictures)
    detector = Detector(source, fuse=True, runtime=runtime, batch_size=_BATCH)
    load(server.port, pictures, alone, clients, 2)
    detector(paths)
    # About two seconds of batches.
    rounds = max(5, round(2 * detector_speed(detector, paths, 1)[0] / _BATCH))
    question = Question(source, runtime, "fp32", [_BATCH], rounds)
    ratios: dict[str, list[float]] = {"benchmark": [], "detector": []}
    times, others, costs, busy = [], Counter[str](), [], []
    for _ in range(_ROUNDS):
        bare = measure(question)[0].images_per_s
        direct, cost = detector_speed(detector, paths, seconds / _ROUNDS / 2)
        used, own, before = processor_seconds(server), time.process_time(), network_seconds(server.port)
        done = load(server.port, pictures, alone, clients, seconds / _ROUNDS)
        spent = processor_seconds(server) - used, time.process_time() - own
        busy.append((network_seconds(server.port) - before) / done.total)
        costs.append((cost, *(1e3 * part / len(done.seconds) for part in spent)))
        speed = len(done.seconds) / done.total
        ratios["benchmark"].append(speed / bare)
        ratios["detector"].append(speed / direct)
        times += done.seconds
        others += done.wrong
        print(f"images/s: served {speed:.1f}, benchmark {bare:.1f}, detector {direct:.1f}", flush=True)
    print(f"{clients} clients: {len(times)} right answers, others: {dict(others)}; {_latency(times)}")
    for name, values in ratios.items():
        middle, low, high = statistics.median(values), min(values), max(values)
        print(f"share of {name}: median {middle:.2f}, {low:.2f} to {high:.2f}")
    print(f"the network computed for {statistics.median(busy):.2f} of the time")
    # Other programs on the machine hardly change these.
    detecting, answering, asking = map(statistics.median, zip(*costs))
    parts = f"detector {detecting:.2f}, server {answering:.2f}, clients {asking:.2f}"
    print(f"processor's milliseconds of an image: {parts}")


def endure(server: Server, pictures: Sequence[bytes], clients: int, requests: int) -> None:
    """Sends many requests, and prints what became of them and what memory the server has on the way."""
    alone = answers(server.port, pictures)
    parts = [1000, *[(requests - 1000) // 4] * 4]
    sent, right, others = 0, 0, Counter[str]()
    for part in parts:
        done: Load = load(server.port, pictures, alone, clients, requests=part)
        sent, right, others = sent + part, right + len(done.seconds), others + done.wrong
        print(f"request {sent}: {memory(server):.0f} MB, {part / done.total:.1f} images/s", flush=True)
    print(f"{sent} requests: {right} right answers, others: {dict(others)}")


def _latency(times: Sequence[float]) -> str:
    p50, p95 = (1e3 * statistics.quantiles(times, n=20)[place] for place in (9, 18))
    return f"p50 {p50:.0f} ms, p95 {p95:.0f} ms"


def main() -> None:
    """Runs everything and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="checkpoint, run folder or exported file")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--mutated", type=int, default=2000)
    parser.add_argument("--flags", default="", help="more flags of `gluon-ssd serve`")
    args = parser.parse_args()
    flags, pictures = shlex.split(args.flags), photos(32)
    runtime = "auto" if is_model_file(args.source) else "mxnet"
    if "--runtime" in flags:
        runtime = flags[flags.index("--runtime") + 1]
    with tempfile.TemporaryDirectory() as folder, serving(args.source, *flags) as server:
        paths = [Path(folder, f"{number}.jpg") for number in range(len(pictures))]
        for path, picture in zip(paths, pictures):
            path.write_bytes(picture)
        compare(args.source, runtime, paths, server, args.clients, args.seconds)
        endure(server, pictures, args.clients, args.requests)
        seen = attack(server.port, args.mutated)
        print(f"damaged and wrong: {dict(sorted(seen.items()))}, memory {memory(server):.0f} MB")
        slow = leave(server.port, 50)
        done = load(server.port, pictures, answers(server.port, pictures), 4, 5)
        p50 = 1e3 * statistics.median(done.seconds)
        print(f"4 clients beside 150 that leave or are slow: others: {dict(done.wrong)}, p50 {p50:.0f} ms")
        for connection in slow:
            connection.close()
        print(f"SIGTERM amid {args.clients} requests: {dict(stop_amid(server, pictures, args.clients))}")


if __name__ == "__main__":
    main()
