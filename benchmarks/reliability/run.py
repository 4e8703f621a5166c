"""Measures reliability: `python benchmarks/reliability/run.py kills --count 60 --seed 1`.

What is measured is named by the first argument; without one, all is. Adds a row for each case to
benchmarks/results/reliability.csv, writes docs/reliability.md from all rows, and prints every fault that was
found. Ends with status 1 where there was one. Needs Linux, and root for the full disks.

Damaged files for all readers on 16 cores: `run.py inputs --count 20000 --seed 7 --jobs 16 --finds finds`.
On another machine the rows are added there; `run.py --merge THEIR/reliability.csv` adds them here.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

# Before what imports MXNet, see the package.
import results  # noqa: E402

import gluon_ssd  # noqa: E402, F401

# What leads to a fault stays here, for whoever repairs it.
FINDS = Path("/tmp/reliability-finds")
MEMORY = Path("/dev/shm")
# What is measured: the modules that do so.
HARNESSES = {
    "kills": ("kills", "verbs"),
    "disk": ("disk",),
    "inputs": ("inputs", "hostile"),
    "numbers": ("numeric",),
    "concurrency": ("concurrency",),
    "determinism": ("determinism",),
    "supply": ("supply",),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=HARNESSES, help="default: all")
    parser.add_argument("--count", type=int, default=60, help="kills, files or tries in all (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    modules = [module for group in HARNESSES.values() for module in group]
    parser.add_argument("--only", choices=modules, help="only this module")
    parser.add_argument("--jobs", type=int, default=1, help="inputs: processes at a time (default: 1)")
    parser.add_argument("--readers", nargs="+", default=[], help="inputs: those whose names hold a text")
    parser.add_argument("--finds", type=Path, default=FINDS, help=f"inputs: folder (default: {FINDS})")
    parser.add_argument("--merge", type=Path, help="only add the rows of another reliability.csv")
    parser.add_argument("--page", action="store_true", help="only write the page from the results")
    parser.add_argument("--trial", action="store_true", help="store nothing")
    args = parser.parse_args()
    failed = 0
    if args.merge:
        results.merge(args.merge)
    for what in [] if args.page or args.merge else [args.what] if args.what else HARNESSES:
        for module in HARNESSES[what]:
            if args.only in (None, module):
                failed += _measure(what, module, args)
    results.write_page()
    return int(failed > 0)


def _measure(what: str, module: str, args: argparse.Namespace) -> int:
    """Runs one module of a harness, stores its rows, and returns how much failed."""
    failed, began = 0, time.monotonic()
    more = {"jobs": args.jobs, "only": args.readers, "finds": args.finds} if module == "inputs" else {}
    # In memory, because damaged files are written and read faster there than anything happens to them.
    place = MEMORY if module == "inputs" and MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="reliability-", dir=place) as folder:
        rows = importlib.import_module(module).measure(args.count, args.seed, Path(folder).resolve(), **more)
        for row in rows:
            now = time.monotonic()
            # Several readers at a time measure their seconds themselves.
            row.seed, row.seconds, began = args.seed, row.seconds or round(now - began), now
            row.command = (
                f"python benchmarks/reliability/run.py {what} --count {args.count} --seed {args.seed}"
            )
            print(f"{row.case}: {row.tried} tried, {row.failed} failed; {row.note}", flush=True)
            for fault in row.faults:
                print(f"  {fault}", flush=True)
            if not args.trial:
                results.append(row)
            failed += row.failed
    return failed


if __name__ == "__main__":
    sys.exit(main())
