"""The same seed gives the same bits again: with other threads, processes and versions, and in another call."""

from __future__ import annotations

import importlib.util
import random
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from kills import FLAGS, Chain, differences
from processes import finish
from results import Row
from verbs import State, visible

from gluon_ssd.data.shapes import make_shapes
from gluon_ssd.tensor_files.archive import read_archive

# Prints the versions that may compute otherwise; MXNet's is the same everywhere.
VERSIONS = (
    "import platform, numpy, cv2; "
    "print(f'Python {platform.python_version()}, NumPy {numpy.__version__}, OpenCV {cv2.__version__}')"
)
SHAPES = "import sys, gluon_ssd.data.shapes; gluon_ssd.data.shapes.make_shapes(sys.argv[1], 24, 4)"
THREADS = "MXNet divides sums over a batch among its threads, and a sum of floats depends on its order"
PROCESSOR = "oneDNN, which computes MXNet's convolutions, has other code for other processors"
DRAWING = "OpenCV 5 draws smooth lines and resizes floats by cubic interpolation otherwise than OpenCV 4"
DALI = "--data-pipeline dali --dali-workers"
# Commands that write files: what follows "gluon-ssd", and the package that it needs.
COMMANDS = {
    "predict {data}/val --weights {run} --save json csv yolo labelme --output {out}": None,
    "predict {data}/val --weights {run} --save images crops --output {out}": None,
    "val {run} --data {data} --output {out}": None,
    "convert {run} {out}/m.safetensors": None,
    "convert-data {data} {out}/set --to yolo": None,
    "prepare-records {data} {out}/set --shards 2": None,
    "export {run} --detections --format symbol --output {out}/m": None,
    "export {run} --detections --format onnx --output {out}/m.onnx": "onnxruntime",
    "export {run} --detections --format openvino --output {out}/m.xml": "openvino",
    "export {run} --detections --format torch --output {out}/m.py": "torch",
}


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
    """Trains with one seed in different ways, calls every other command twice, and yields a row for each.

    ``pythons`` are interpreters in whose environments the same is done.
    """
    data = make_shapes(folder / "data", train=24, val=4, size=(96, 128))
    here = _versions(sys.executable, folder)
    others = {python: f"{_versions(python, folder)}, against {here}" for python in pythons}
    yield from _trained(_native(others), data, folder / "native", seed)
    two = {"OMP_NUM_THREADS": "2"}
    twice = [Way("OMP_NUM_THREADS 2", variables=two), Way("OMP_NUM_THREADS 2, twice", variables=two)]
    yield from _trained(twice, data, folder / "two", seed)
    if _installed("nvidia.dali"):
        ways = [Way("DALI", f"{DALI} 1")]
        ways += [Way(f"DALI, {n} threads, against 1", f"{DALI} {n}") for n in (2, 4)]
        resumed = "DALI, resumed after 7 steps with 4 threads, against 1"
        ways += [Way(resumed, f"{DALI} 1 --max-steps 7", "--dali-workers 4")]
        yield from _trained(ways, data, folder / "dali", seed)
    if _installed("horovod"):
        yield _ranks(data, folder / "ranks")
    run = folder / "native" / "0"
    for command, package in COMMANDS.items():
        if _installed(package):
            yield from _called(command, data, run, folder, others if package is None else {})
    for python, name in others.items():
        yield _drawn(python, name, folder)


def _native(others: Mapping[str, str]) -> list[Way]:
    """Returns the ways of the native loader; all are compared with the first."""
    return [
        Way("1 loader thread"),
        Way("2 loader threads, against 1", "--workers 2"),
        Way("4 loader threads, against 1", "--workers 4"),
        Way("resumed after 7 steps with 4 threads, against 1", "--workers 1 --max-steps 7", "--workers 4"),
        Way("scored by another process (--async-val), against the training's own", "--async-val"),
        *(Way(name, python=python) for python, name in others.items()),
        Way("OMP_NUM_THREADS 2, against 1", variables={"OMP_NUM_THREADS": "2"}, why=THREADS),
        Way("without AVX-512, against with it", variables={"DNNL_MAX_CPU_ISA": "AVX2"}, why=PROCESSOR),
    ]


def _trained(ways: Sequence[Way], data: Path, folder: Path, seed: int) -> Iterator[Row]:
    """Trains in each way, and compares all with the first."""
    folder.mkdir()
    whole = folder / "0"
    for place, way in enumerate(ways):
        run = folder / str(place)
        _run(way, f"{' '.join(FLAGS)} --data {data} --seed {seed} {way.flags} --output {run}", folder)
        if way.resumed:
            _run(way, f"train --resume --max-steps none {way.resumed} --output {run}", folder)
        if place:
            yield _row(way, list(differences(run, whole)), lambda: _distance(run, whole))


def _row(way, faults, distance) -> Row: ...


def _distance(run: Path, whole: Path) -> float:
    """Returns by how much the last parameters differ at most, as a share of the largest in their array."""
    last, other = (read_archive(path / "checkpoints" / "last.ckpt")[0] for path in (run, whole))
    floats = [name for name, array in other.items() if array.dtype == np.float32 and array.any()]
    return max(float(np.abs(last[name] - other[name]).max() / np.abs(other[name]).max()) for name in floats)


def _ranks(data: Path, folder: Path) -> Row:
    """Compares two trainings of two ranks."""
    chain = Chain("two ranks", data, folder, random.Random(0))
    for name in ("first", "second"):
        if chain.wait(chain.start(folder / name, resume=False)):
            raise RuntimeError((folder / f"{name}.0.log").read_text()[-2000:])
    return _row(Way("two ranks, twice"), list(differences(folder / "first", folder / "second")))
