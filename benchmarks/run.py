"""Every ratio to the peers that are installed: `python benchmarks/run.py [--clock cpu] [--only training]`.

Both sides of a comparison are processes of their own that work in turn; a ratio is the median over pairs, and
its spread is that of the pairs. Writes benchmarks/results/ratios.csv and, from it, the table of
docs/benchmarks.md. On a machine that others use as well, ``--clock cpu`` counts processor time, on one
thread.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import importlib.util
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from peers import Worker

HERE = Path(__file__).resolve().parent
RESULTS, DOCUMENT = HERE / "results" / "ratios.csv", HERE.parent / "docs" / "benchmarks.md"
COLUMNS = (
    "group",
    "what",
    "peer",
    "unit",
    "ours",
    "theirs",
    "ratio",
    "lowest",
    "highest",
    "clock",
    "machine",
)
MARKS = ("<!-- results -->", "<!-- /results -->")
# The module of a peer; a peer that is not installed is left out.
MODULES = {
    "GluonCV": "gluoncv",
    "PyTorch": "torch",
    "pycocotools": "pycocotools",
    "faster-coco-eval": "faster_coco_eval",
    "DALI": "nvidia.dali",
    "Pillow": "PIL",
    "torchvision": "torchvision",
    "passive waiting": "gluon_ssd",
}
STARTS = {
    "import gluon_ssd": "import gluon_ssd",
    "gluon-ssd --help": "import sys; sys.argv = ['', '--help']; from gluon_ssd.cli import main; main()",
    "get_model('ssd_resnet34')": "import gluon_ssd; gluon_ssd.get_model('ssd_resnet34')",
    "first boxes of one image": "import gluon_ssd, numpy; "
    "gluon_ssd.Detector(gluon_ssd.get_model('ssd_resnet34'))(numpy.zeros((300, 300, 3), 'uint8'))",
}

Row = dict[str, str]


def installed(peer: str) -> bool:
    """Tells without importing it."""
    try:
        return importlib.util.find_spec(MODULES[peer]) is not None
    except ModuleNotFoundError:
        return False


def machine() -> str:
    """Processor, cores and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    python = f"Python {platform.python_version()}"
    return f"{(names or ['unknown'])[0]}, {cores} cores, load {load:.1f}, {python}, {datetime.date.today()}"


def row(group: str, what: str, peer: str, unit: str, pairs: list[tuple[float, float]], clock: str) -> Row:
    """One comparison: medians, and the ratio of theirs to ours, above 1 in our favour."""
    ratios = sorted(theirs / ours for ours, theirs in pairs)
    ours, theirs = (statistics.median(side) for side in zip(*pairs))
    numbers = (ours, theirs, statistics.median(ratios), ratios[0], ratios[-1])
    found = dict(zip(COLUMNS, (group, what, peer, unit, *(f"{number:.3g}" for number in numbers), clock)))
    print("  ".join(found[key] for key in COLUMNS[:-2]), flush=True)
    return found


def in_turn(kind: str, ours: str, theirs: str, argument: str, rounds: int, clock: str, **env: str) -> list:
    """Seconds of both sides, pair by pair; ``env`` is theirs."""
    script = str(HERE / "workers.py")
    sides = [
        Worker(ours, [script, kind, ours, argument]),
        Worker(theirs, [script, kind, theirs, argument], **env),
    ]
    pairs = [tuple(side.run(clock) for side in sides) for _ in range(rounds)]
    for side in sides:
        side.close()
    return pairs


def training(clock: str) -> Iterator[Row]:
    for precision in ("fp32", "bf16"):
        what = f"training step of ssd_resnet34, batch 8, {precision}"
        for peer, side in (("GluonCV", "gluoncv"), ("PyTorch", "torch")):
            if installed(peer):
                yield row(
                    "training", what, peer, "s", in_turn("train", "ours", side, precision, 5, clock), clock
                )
    pairs = in_turn("train", "ours", "ours", "fp32", 5, clock, OMP_WAIT_POLICY="passive")
    yield row("training", "the same with OMP_WAIT_POLICY=passive", "passive waiting", "s", pairs, clock)


def retinanet(clock: str) -> Iterator[Row]:
    for precision in ("fp32", "bf16") if installed("torchvision") else ():
        what = f"training step of retinanet_resnext50_32x4d, 800x800, batch 2, {precision}"
        pairs = in_turn("retinanet", "ours", "torchvision", precision, 4, clock)
        yield row("retinanet", what, "torchvision", "s", pairs, clock)


def scoring(clock: str) -> Iterator[Row]:
    for peer in filter(installed, ("pycocotools", "faster-coco-eval")):
        pairs = in_turn("scoring", "ours", peer, "1000", 3, clock)
        yield row("scoring", "COCO scores, 1,000 images x 100 detections", peer, "s", pairs, clock)


def loading(clock: str) -> Iterator[Row]:
    data = os.environ.get("GLUON_SSD_COCO128")
    for peer in filter(installed, ("DALI", "Pillow") if data else ()):
        pairs = in_turn("loading", "native", peer.lower(), str(data), 5, clock)
        yield row("loading", "an epoch of training input, coco128", peer, "s", pairs, clock)


def start(clock: str) -> Iterator[Row]:
    """Processor time of whole processes, against ``import mxnet`` alone."""

    def seconds(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    for what, code in STARTS.items():
        pairs = [(seconds(code), seconds("import gluon_ssd, mxnet")) for _ in range(4)][1:]
        yield row("start", what, "import mxnet", "s", pairs, "cpu")


def memory(clock: str) -> Iterator[Row]:
    """Peak memory that an image of the batch adds, and what 1,000 steps add."""

    def measured(*arguments: str) -> float:
        command = [sys.executable, str(HERE / "workers.py"), *arguments]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])

    def each(side: str) -> float:
        return (measured("memory", side, "8") - measured("memory", side, "2")) / 6

    if installed("PyTorch"):
        pairs = [(each("ours"), each("torch"))]
        yield row("memory", "training peak per image, ssd_resnet34, fp32", "PyTorch", "MB", pairs, "-")
    grown = measured("growth", "ours", "1000")
    print(f"memory  1,000 steps of ssd_tiny add {grown:.1f} MB")


GROUPS = {
    "training": training,
    "retinanet": retinanet,
    "scoring": scoring,
    "loading": loading,
    "start": start,
    "memory": memory,
}


def write(rows: list[Row]) -> None:
    """Puts ``rows`` in place of those of the same groups in the CSV, and the table into the document."""
    done = {found["group"] for found in rows}
    if RESULTS.exists():
        with RESULTS.open(newline="") as file:
            rows = [old for old in csv.DictReader(file) if old["group"] not in done] + rows
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda found: list(GROUPS).index(found["group"])))
    text = DOCUMENT.read_text()
    head, rest = text.split(MARKS[0])
    DOCUMENT.write_text(f"{head}{MARKS[0]}\n{table()}\n{MARKS[1]}{rest.split(MARKS[1])[1]}")


def table() -> str:
    """The CSV as a Markdown table, and the machines."""
    with RESULTS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [
        "| what | peer | ours | peer's | peer's / ours | of the pairs | clock |",
        "|---|---|---|---|---|---|---|",
    ]
    for found in rows:
        numbers = [f"{found[key]} {found['unit']}" for key in ("ours", "theirs")]
        cells = [found["what"], found["peer"], *numbers, found["ratio"]]
        lines.append(
            "| " + " | ".join([*cells, f"{found['lowest']} to {found['highest']}", found["clock"]]) + " |"
        )
    places: dict[str, str] = {}
    for found in rows:
        places.setdefault(found["group"], found["machine"])
    return "\n".join([*lines, "", *(f"- {group}: {place}" for group, place in places.items())])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS))
    options = parser.parse_args()
    if options.clock == "cpu":
        os.environ["OMP_NUM_THREADS"] = "1"
    for group in options.only:
        here = machine()
        write([{**found, "machine": here} for found in GROUPS[group](options.clock)])


if __name__ == "__main__":
    main()
