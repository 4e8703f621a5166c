"""Measures reliability: `python benchmarks/reliability/run.py kills --count 60 --seed 1`.

What is measured is named by the first argument; without one, all is. Adds a row for each case to
benchmarks/results/reliability.csv, writes docs/reliability.md from all rows, and prints every fault that was
found. Ends with status 1 where there was one. Needs Linux, and root for the full disks.
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
    parser.add_argument(
        "--pythons",
        type=lambda text: text.split(","),
        default=[],
        metavar="PATH,PATH",
        help="determinism: interpreters of other versions that have the package's dependencies",
    )
    parser.add_argument("--only", choices=modules, help="only this module")
    parser.add_argument("--page", action="store_true", help="only write the page from the results")
    parser.add_argument("--trial", action="store_true", help="store nothing")
    args = parser.parse_args()
    failed = 0
    for what in [] if args.page else [args.what] if args.what else HARNESSES:
        for module in HARNESSES[what]:
            if args.only in (None, module):
                failed += _measure(what, module, args)
    results.write_page()
    return int(failed > 0)


def _measure(what: str, module: str, args: argparse.Namespace) -> int:
    """Runs one module of a harness, stores its rows, and returns how much failed."""
    failed, began = 0, time.monotonic()
    options = {"pythons": args.pythons} if module == "determinism" else {}
    command = f"python benchmarks/reliability/run.py {what} --count {args.count} --seed {args.seed}"
    if module == "determinism" and args.pythons:
        # The paths are those of one machine; the rows say which versions they are.
        command += f" --pythons {','.join('PATH' for _ in args.pythons)}"
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
        harness = importlib.import_module(module)
        for row in harness.measure(args.count, args.seed, Path(folder).resolve(), **options):
            now = time.monotonic()
            row.seed, row.seconds, began = args.seed, round(now - began), now
            row.command = command
            print(f"{row.case}: {row.tried} tried, {row.failed} failed; {row.note}", flush=True)
            for fault in row.faults:
                print(f"  {fault}", flush=True)
            if not args.trial:
                results.append(row)
            failed += row.failed
    return failed


if __name__ == "__main__":
    sys.exit(main())
