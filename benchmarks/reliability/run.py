"""Measures reliability: `python benchmarks/reliability/run.py kills --count 60 --seed 1`.

What is measured is named by the first argument; without one, all is. Adds a row for each case to
benchmarks/results/reliability.csv, writes docs/reliability.md from all rows, and prints every fault that was
found. Ends with status 1 where there was one. Needs Linux, and root for the full disks.

`--results other.csv` puts the rows elsewhere and leaves the page alone, so that another machine can do the
work; `--add other.csv` adds them to those of the repository afterwards. `kills --jobs 16` keeps 16 cores
busy, and so does `inputs --count 20000 --jobs 16`, for which files that lead to a fault stay in `--finds`.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import shlex
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

COUNT = "kills, files or tries in all (default: 60); of disk 99999 for every place where a write can fail"
# What leads to a fault stays here, for whoever repairs it.
FINDS = Path("/tmp/reliability-finds")
MEMORY = Path("/dev/shm")
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
    parser.add_argument("--count", type=int, default=60, help=COUNT)
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
    about = "only cases with that in their name (not of every harness)"
    parser.add_argument("--case", default="", metavar="TEXT", help=about)
    parser.add_argument("--jobs", type=int, default=1, help="of kills and inputs: at a time (default: 1)")
    parser.add_argument("--finds", type=Path, default=FINDS, help=f"of inputs: folder (default: {FINDS})")
    about = "of supply: a copy of github.com/pypa/advisory-database"
    parser.add_argument("--advisories", type=Path, metavar="FOLDER", help=about)
    kills = parser.add_argument_group("of kills alone")
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
    names = ("jobs", "case", "finds", "signals", "pythons", "advisories")
    options = {name: getattr(args, name) for name in names if name in known}
    # In memory, because damaged files are written and read faster there than anything happens to them.
    place = MEMORY if ("finds" in known or what == "disk") and MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="reliability-", dir=place) as folder:
        for row in harness.measure(amount, args.seed, Path(folder).resolve(), **options):
            now = time.monotonic()
            # Where several work at a time, they have measured their seconds themselves.
            row.seed, row.seconds, began = args.seed, row.seconds or round(now - began), now
            row.command = _command(f"{what} --{flag} {amount} --seed {args.seed}", args)
            print(f"{row.case}: {row.tried} tried, {row.failed} failed; {row.note}", flush=True)
            for fault in row.faults:
                print(f"  {fault}", flush=True)
            if not args.trial:
                results.append(row, args.results)
            failed += row.failed
    return failed


def _command(words: str, args: argparse.Namespace) -> str:
    """Returns the command that runs the same cases again."""
    only = f" --only {args.only}" if args.only else ""
    case = f" --case {shlex.quote(args.case)}" if args.case else ""
    # The paths are those of one machine; the rows say which versions they are.
    pythons = f" --pythons {','.join('PATH' for _ in args.pythons)}" if args.pythons else ""
    advisories = " --advisories FOLDER" if args.advisories else ""
    return f"python benchmarks/reliability/run.py {words}{only}{case}{pythons}{advisories}"


if __name__ == "__main__":
    sys.exit(main())
