"""A server under load: is every answer right, how fast does it answer, does anything bring it down.

    python benchmarks/serving.py SOURCE [--clients 64] [--seconds 60] [--mutated 2000] [--flags "--workers 2"]

Starts `gluon-ssd serve SOURCE` in a process of its own. Clients that ask in parallel for a while must each
get the answer that the same image gets alone; images/s are compared with what the detector does with the same
files in batches, in turn on the same machine, of which the clients need their share. Then come damaged images
and wrong requests, clients that leave and clients that are slow, and at last SIGTERM amid requests.
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
from serving_load import Server, answers, load, memory, photos, serving, stop_amid

from gluon_ssd import Detector

_ROUNDS = 5


def detector_speed(detector: Any, paths: Sequence[Path], seconds: float) -> float:
    """Returns how many images/s the detector does with these files, in batches."""
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        count += len(detector(paths))
    return count / (time.perf_counter() - start)


def compare(detector: Any, paths: Sequence[Path], server: Server, clients: int, seconds: float) -> None:
    """Has the detector and the server work in turn, so that both have as much of the machine, and prints."""
    pictures = [path.read_bytes() for path in paths]
    alone = answers(server.port, pictures)
    load(server.port, pictures, alone, clients, 2)
    detector(paths)
    before, ratios, times, others = memory(server), [], [], Counter[str]()
    for _ in range(_ROUNDS):
        direct = detector_speed(detector, paths, seconds / _ROUNDS / 2)
        done = load(server.port, pictures, alone, clients, seconds / _ROUNDS)
        speed = len(done.seconds) / done.total
        ratios.append(speed / direct)
        times += done.seconds
        others += done.wrong
        print(f"served {speed:.1f} images/s, the detector alone {direct:.1f} = {ratios[-1]:.2f}", flush=True)
    p50, p95 = (1e3 * statistics.quantiles(times, n=20)[place] for place in (9, 18))
    print(f"{clients} clients: {len(times)} right answers, others: {dict(others)}")
    print(f"p50 {p50:.0f} ms, p95 {p95:.0f} ms; median ratio {statistics.median(ratios):.2f}")
    print(f"memory {before:.0f} MB, then {memory(server):.0f} MB")


def main() -> None:
    """Runs everything and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="checkpoint, run folder or exported file")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--mutated", type=int, default=2000)
    parser.add_argument("--flags", default="", help="more flags of `gluon-ssd serve`")
    args = parser.parse_args()
    flags, pictures = shlex.split(args.flags), photos(32)
    runtime = {"runtime": flags[flags.index("--runtime") + 1]} if "--runtime" in flags else {}
    with tempfile.TemporaryDirectory() as folder, serving(args.source, *flags) as server:
        paths = [Path(folder, f"{number}.jpg") for number in range(len(pictures))]
        for path, picture in zip(paths, pictures):
            path.write_bytes(picture)
        detector = Detector.from_run(args.source, fuse=True, **runtime)
        compare(detector, paths, server, args.clients, args.seconds)
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
