"""The same seed gives the same bits: with other threads, processes and versions, and in a second call."""

from __future__ import annotations

import csv
import importlib.util
import io
import re
import shutil
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compare import differences
from kills import FLAGS
from processes import finish
from results import Row
from trainings import Trainings
from verbs import State, visible

from gluon_ssd.data.shapes import make_shapes

# Prints the versions that may compute otherwise; MXNet's is the same everywhere.
VERSIONS = (
    "import platform, numpy, cv2; "
    "print(f'Python {platform.python_version()}, NumPy {numpy.__version__}, OpenCV {cv2.__version__}')"
)
SHAPES = "import sys; from gluon_ssd.data.shapes import make_shapes; make_shapes(sys.argv[1], 24, 4)"
THREADS = "MXNet divides sums over a batch among its threads, and a sum of floats depends on its order"
PROCESSOR = "oneDNN, which computes MXNet's convolutions, has other code for other processors"
DRAWING = "OpenCV 5 draws smooth lines, and resizes floats by cubic interpolation, otherwise than OpenCV 4"
STATED = "a checkpoint also states the Python that wrote it"
DALI = "--data-pipeline dali --dali-workers"
# Commands that write files, and the package that each needs.
COMMANDS = {
    "predict {data}/val --weights {run} --save json csv yolo labelme --output {out}": "mxnet",
    "predict {data}/val --weights {run} --save images crops --output {out}": "mxnet",
    "val {run} --data {data} --output {out}": "mxnet",
    "convert {run} {out}/network.ckpt": "mxnet",
    "convert {run} {out}/network.params": "mxnet",
    "convert-data {data} {out}/set --to yolo": "mxnet",
    "prepare-records {data} {out}/set --shards 2": "mxnet",
    "export {run} --detections --format symbol --output {out}/m": "mxnet",
    "export {run} --detections --format onnx --output {out}/m.onnx": "onnxruntime",
    "export {run} --detections --format openvino --output {out}/m.xml": "openvino",
    "export {run} --detections --format torch --output {out}/m.py": "torch",
}
# When and how long, in what `val` writes.
TIMES = re.compile(rb'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|"seconds": [\d.]+|[\d.]+ s\. Computed')
PYTHON = re.compile(rb'"python": "[\d.]+"')
# What `val` writes for people: plots by matplotlib, and pages that name the versions.
PAGES = re.compile(r"(report\.(html|json)|[a-z_]+\.png)$")


@dataclass(frozen=True)
class Way:
    """One way to do the same. ``why`` says why it gives other bits, where it is known to."""

    name: str
    flags: str = "--workers 1"
    resumed: str = ""
    python: str = sys.executable
    variables: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


def measure(count: int, seed: int, folder: Path, pythons: Sequence[str] = ()) -> Iterator[Row]:
    """Trains with one seed in different ways, calls other commands twice, and yields a row for each.

    ``pythons`` are interpreters of other versions in which the same is done.
    """
    data = make_shapes(folder / "data", train=24, val=4, size=(96, 128))
    here = _versions(sys.executable, folder)
    others = {python: f"{_versions(python, folder)}, against {here}" for python in pythons}
    yield from _trained(_native(others), data, folder / "native", seed)
    two = {"OMP_NUM_THREADS": "2"}
    twice = [Way("OMP_NUM_THREADS 2", variables=two), Way("OMP_NUM_THREADS 2, twice", variables=two)]
    yield from _trained(twice, data, folder / "two", seed)
    if _installed("nvidia.dali"):
        yield from _trained(_dali(), data, folder / "dali", seed)
    if _installed("horovod"):
        yield _ranks(data, folder / "ranks")
    yield from _called(data, folder / "native" / "0", folder, others)
    for python, name in others.items():
        yield _drawn(python, name, folder)


def _native(others: Mapping[str, str]) -> list[Way]:
    """Returns the ways with the native loader; all are compared with the first."""
    return [
        Way("1 loader thread"),
        Way("2 loader threads, against 1", "--workers 2"),
        Way("4 loader threads, against 1", "--workers 4"),
        Way("resumed after 7 steps with 4 threads, against 1", "--workers 1 --max-steps 7", "--workers 4"),
        Way("scored by a process of its own (--async-val), against the training's", "--async-val"),
        *(Way(f"training: {name}", python=python) for python, name in others.items()),
        Way("OMP_NUM_THREADS 2, against 1", variables={"OMP_NUM_THREADS": "2"}, why=THREADS),
        Way("without AVX-512, against with it", variables={"DNNL_MAX_CPU_ISA": "AVX2"}, why=PROCESSOR),
    ]


def _dali() -> list[Way]:
    resumed = "DALI, resumed after 7 steps with 4 threads, against 1"
    return [
        Way("DALI, 1 thread", f"{DALI} 1"),
        Way("DALI, 2 threads, against 1", f"{DALI} 2"),
        Way("DALI, 4 threads, against 1", f"{DALI} 4"),
        Way(resumed, f"{DALI} 1 --max-steps 7", "--dali-workers 4"),
    ]


def _trained(ways: Sequence[Way], data: Path, folder: Path, seed: int) -> Iterator[Row]:
    """Trains in each way, and compares all with the first."""
    folder.mkdir()
    for place, way in enumerate(ways):
        run, whole = folder / str(place), folder / "0"
        _run(way, f"{' '.join(FLAGS)} --data {data} --seed {seed} {way.flags} --output {run}", folder)
        if way.resumed:
            _run(way, f"train --resume --max-steps none {way.resumed} --output {run}", folder)
        faults = list(differences(run, whole))
        if place and way.why and faults:
            yield _otherwise(way, f"the last epoch's loss is {_loss(run)}, and {_loss(whole)}")
        elif place:
            yield _row(way.name, faults)


def _ranks(data: Path, folder: Path) -> Row:
    """Compares two trainings of two ranks."""
    folder.mkdir()
    trainings = Trainings([*FLAGS, "--data", str(data)], 2, False, folder)
    first, second = folder / "first", folder / "second"
    for run in (first, second):
        if fault := trainings.end(trainings.start(run, resume=False)):
            raise RuntimeError(fault)
    return _row("two ranks, twice", differences(first, second))


def _called(data: Path, run: Path, folder: Path, others: Mapping[str, str]) -> Iterator[Row]:
    """Calls each command twice, and once with each of the ``others``, and compares what they write."""
    place = {"data": data, "run": run, "out": folder / "out"}
    kept: dict[str, State] = {}
    for command, package in COMMANDS.items():
        if _installed(package):
            words = command.format(**place)
            kept[command], again = (_written(Way(""), words, place["out"]) for _ in range(2))
            note = f"{len(again)} files, byte for byte"
            yield _row(f"{_short(command)}, twice", _unequal(again, kept[command]), note)
    shared = [command for command in kept if COMMANDS[command] == "mxnet"]
    for python, name in others.items():
        faults = []
        for command in shared:
            found = _written(Way("", python=python), command.format(**place), place["out"])
            for file in _unequal(found, kept[command]):
                same = _same_but_for_python(found.get(file), kept[command].get(file))
                faults += [] if same or PAGES.search(file) else [f"{_short(command)}: {file}"]
        note = f"{len(shared)} commands, all files but plots and pages; {STATED}"
        yield _row(f"commands: {name}", faults, note, tried=len(shared))


def _drawn(python: str, name: str, folder: Path) -> Row:
    """Compares the pictures of the demo, made with another Python and here."""
    found = []
    for interpreter in (python, sys.executable):
        shutil.rmtree(folder / "out", ignore_errors=True)
        status, text = finish(["-c", SHAPES, folder / "out"], folder / "log", python=interpreter)
        if status:
            raise RuntimeError(text)
        found.append(visible(folder / "out"))
    faults, way = _unequal(*found), Way(f"the demo's pictures: {name}", why=DRAWING)
    majors = re.findall(r"OpenCV (\d+)", name)
    if faults and len(set(majors)) > 1:
        return _otherwise(way, f"{len(faults)} of {len(found[0])} files")
    return _row(way.name, faults)


def _row(name: str, faults: Iterable[str], note: str = "", tried: int = 1) -> Row:
    found = [f"{name}: {text}" for text in faults]
    return Row("determinism", name, tried, len(found), note, faults=found)


def _otherwise(way: Way, what: str) -> Row:
    return Row("determinism", way.name, 1, 0, f"other bits, as expected ({what}): {way.why}")


def _run(way: Way, command: str, folder: Path) -> None:
    arguments: list[object] = ["-m", "gluon_ssd", *command.split()]
    status, text = finish(arguments, folder / "log", way.variables, python=way.python)
    if status:
        raise RuntimeError(f"{command}: {text[-2000:]}")


def _written(way: Way, command: str, out: Path) -> State:
    """Returns the files that a command writes into ``out``, without the times in them."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    _run(way, command, out.parent)
    return {name: TIMES.sub(b"", content) for name, content in visible(out).items()}


def _unequal(found: State, wanted: State) -> list[str]:
    return [name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]


def _same_but_for_python(*files: bytes | None) -> bool:
    """Returns whether these are checkpoints that differ in the Python that wrote them alone."""
    contents = []
    for data in files:
        if data is None or not zipfile.is_zipfile(io.BytesIO(data)):
            return False
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            contents.append({name: PYTHON.sub(b"", archive.read(name)) for name in archive.namelist()})
    return contents[0] == contents[1]


def _loss(run: Path) -> str:
    """Returns the loss of a run's last epoch, as its metrics have it."""
    with open(run / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))[-1]["loss"]


def _short(command: str) -> str:
    """Returns a command without its paths, but for the kind of file that it converts to."""
    words = [word.replace("{out}/network", "to ") for word in command.split()]
    return " ".join(word for word in words if "{" not in word and word not in ("--output", "--weights"))


def _versions(python: str, folder: Path) -> str:
    status, text = finish(["-c", VERSIONS], folder / "log", python=python)
    if status:
        raise RuntimeError(f"{python}: {text}")
    return text.strip()


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False
