"""Measures reliability: `python benchmarks/reliability/run.py kills --count 60 --seed 1`.

What is measured is named by the first argument; without one, all is. Adds a row for each case to
benchmarks/results/reliability.csv, writes docs/reliability.md from all rows, and prints every fault that was
found. Ends with status 1 where there was one. Needs Linux, and root for the full disks.

`--results other.csv` puts the rows elsewhere and leaves the page alone, so that another machine can do the
work; `--add other.csv` adds them to those of the repository afterwards. `kills --jobs 16` keeps 16 cores
busy.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

# Before what imports MXNet, see the package.
import results  # noqa: E402
import signals  # noqa: E402

import gluon_ssd  # noqa: E402, F401

# What is measured: the modules that do so.
HARNESSES = {
    "kills": ("kills", "verbs"),
    "disk": ("disk", "writes", "vanish"),
    "inputs": ("inputs", "hostile"),
    "numbers": ("numeric",),
    "concurrency": ("concurrency",),
    "determinism": ("determinism",),
    "ranks": ("ranks", "partition", "clocks"),
    "cycles": ("cycles",),
    "long": ("long_runs",),
    "supply": ("supply",),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=HARNESSES, help="default: all")
    parser.add_argument("--count", type=int, default=60, help="kills, files or tries in all (default: 60)")
    parser.add_argument("--minutes", type=int, default=15, help="of each long run (default: 15)")
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
    parser.add_argument(
        "--case", default="", metavar="TEXT", help="of kills, disk and concurrency: with that in their name"
    )
    kills = parser.add_argument_group("of kills alone")
    kills.add_argument("--jobs", type=int, default=1, help="commands that run at a time (default: 1)")
    kills.add_argument("--signals", nargs="+", choices=signals.SIGNALS, default=signals.DECK)
    parser.add_argument("--results", type=Path, default=results.RESULTS, help="table that rows are added to")
    parser.add_argument("--add", nargs="+", type=Path, metavar="TABLE", help="only add the rows of these")
    parser.add_argument("--page", action="store_true", help="only write the page from the results")
    parser.add_argument("--trial", action="store_true", help="store nothing")
    args = parser.parse_args()
    failed = 0
    for row in [row for table in args.add or () for row in results.read(table)]:
        results.append(row, args.results)
    for what in [] if args.page or args.add else [args.what] if args.what else HARNESSES:
        for module in HARNESSES[what]:
            if args.only in (None, module):
                failed += _measure(what, module, args)
    if args.results == results.RESULTS:
        results.write_page()
    return int(failed > 0)


def _measure(what: str, module: str, args: argparse.Namespace) -> int:
    """Runs one module of a harness, stores its rows, and returns how much failed."""
    failed, began = 0, time.monotonic()
    flag = "minutes" if what == "long" else "count"
    amount, harness = getattr(args, flag), importlib.import_module(module)
    known = inspect.signature(harness.measure).parameters
    options = {name: getattr(args, name) for name in ("jobs", "case", "signals", "pythons") if name in known}
    command = f"python benchmarks/reliability/run.py {what} --{flag} {amount} --seed {args.seed}"
    if options.get("pythons"):
        # The paths are those of one machine; the rows say which versions they are.
        command += f" --pythons {','.join('PATH' for _ in args.pythons)}"
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
        for row in harness.measure(amount, args.seed, Path(folder).resolve(), **options):
            now = time.monotonic()
            row.seed, row.seconds, began = args.seed, round(now - began), now
            row.command = command
            print(f"{row.case}: {row.tried} tried, {row.failed} failed; {row.note}", flush=True)
            for fault in row.faults:
                print(f"  {fault}", flush=True)
            if not args.trial:
                results.append(row, args.results)
            failed += row.failed
    return failed


if __name__ == "__main__":
    sys.exit(main())
