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
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from serving_attack import attack, leave
from serving_load import load, memory, photos, serving, stop_amid


def detector_speed(source: str, pictures: Sequence[bytes], seconds: float, options: dict[str, str]) -> float:
    """Returns how many images/s the detector does with the same pictures as files, in batches of 8."""
    from gluon_ssd import Detector

    detector = Detector.from_run(source, fuse=True, **options)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.jpg") for number in range(len(pictures))]
        for path, picture in zip(paths, pictures):
            path.write_bytes(picture)
        detector(paths)
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            count += len(detector(paths))
        return count / (time.perf_counter() - start)


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
    direct = detector_speed(args.source, pictures, args.seconds / 6, runtime)
    with serving(args.source, *flags) as server:
        load(server.port, pictures, args.clients, 3)
        before = memory(server)
        done = load(server.port, pictures, args.clients, args.seconds)
        speed = len(done.seconds) / done.total
        p50, p95 = (1e3 * statistics.quantiles(done.seconds, n=20)[place] for place in (9, 18))
        print(f"{args.clients} clients: {len(done.seconds)} right answers, others: {dict(done.wrong)}")
        print(f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, {speed:.1f} images/s; the detector alone {direct:.1f}")
        print(f"ratio {speed / direct:.2f}; memory {before:.0f} MB, then {memory(server):.0f} MB")
        seen = attack(server.port, args.mutated)
        print(f"damaged and wrong: {dict(sorted(seen.items()))}, memory {memory(server):.0f} MB")
        slow = leave(server.port, 50)
        done = load(server.port, pictures, 4, 5)
        p50 = 1e3 * statistics.median(done.seconds)
        print(f"4 clients beside 150 that leave or are slow: others: {dict(done.wrong)}, p50 {p50:.0f} ms")
        for connection in slow:
            connection.close()
        print(f"SIGTERM amid {args.clients} requests: {dict(stop_amid(server, pictures, args.clients))}")


if __name__ == "__main__":
    main()
