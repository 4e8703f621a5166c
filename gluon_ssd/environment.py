"""What is installed, what it is good for, and whether the network works here: the facts behind ``doctor``.

Nothing heavy is imported at the top, so that a broken installation can still be described.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import platform
import shlex
import socket
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from .machine import SHARED_ADVICE, OtherPrograms, cores
from .platforms import NEWEST_PYTHON, OLDEST_PYTHON, has_mxnet, mxnet_advice
from .version import __version__

OK, ABSENT, BROKEN = "ok", "absent", "broken"


@dataclass(frozen=True)
class Fact:
    """One line of the report. ``advice`` says what a missing or broken piece costs and how to get it."""

    name: str
    value: str
    status: str = OK
    advice: str = ""


@dataclass(frozen=True)
class Piece:
    """A package: what it is imported as, which distributions bring it, and what cannot be done without it."""

    module: str
    distributions: tuple[str, ...]
    cost: str
    install: str


REQUIRED = (
    Piece("numpy", ("numpy",), "nothing works", 'pip install "numpy>=1.22"'),
    Piece(
        "mxnet",
        ("mxnet", "mxnet-cu112", "mxnet-cu117"),
        "no network can be built",
        mxnet_advice(),
    ),
    Piece(
        "cv2",
        (
            "opencv-python-headless",
            "opencv-python",
            "opencv-contrib-python",
            "opencv-contrib-python-headless",
        ),
        "no image can be read",
        "pip install opencv-python-headless",
    ),
    Piece("pycocotools", ("pycocotools",), "no mAP", "pip install pycocotools"),
    Piece("yaml", ("PyYAML",), "no recipes", "pip install pyyaml"),
    Piece("rich", ("rich",), "no progress, no tables", "pip install rich"),
    Piece("matplotlib", ("matplotlib",), "no curves", "pip install matplotlib"),
    Piece("PIL", ("Pillow",), "no drawn labels", "pip install Pillow"),
    Piece("jinja2", ("Jinja2",), "no report of a run or data set", "pip install jinja2"),
    Piece("defusedxml", ("defusedxml",), "no labels of Pascal VOC", "pip install defusedxml"),
)

OPTIONAL = (
    Piece(
        "gluoncv",
        ("gluoncv",),
        "no GluonCV backbones, no comparison in the benchmarks",
        'pip install "gluon_ssd[gluoncv]"',
    ),
    Piece(
        "hotcoco",
        ("hotcoco",),
        "COCO scores come from pycocotools alone, equal but many times slower",
        'pip install "gluon_ssd[fast-coco]", on Python 3.10 and later',
    ),
    Piece("pytest", ("pytest",), "the tests cannot be run", 'pip install "gluon_ssd[dev]"'),
    Piece(
        "nvidia.dali",
        ("nvidia-dali-cuda120",),
        "no data_pipeline dali",
        'pip install "gluon_ssd[dali]", on Python 3.10 and later',
    ),
    Piece("tensorboardX", ("tensorboardX",), "no --tensorboard", 'pip install "gluon_ssd[tensorboard]"'),
    Piece(
        "google_crc32c",
        ("google-crc32c",),
        "no TFRecord files can be written",
        'pip install "gluon_ssd[tfrecord]"',
    ),
    Piece(
        "mlperf_logging",
        ("mlperf-logging",),
        "no mlperf.log, no compliance checker",
        'pip install "gluon_ssd[mlperf]"',
    ),
    Piece("onnx", ("onnx",), "no export but MXNet's symbol", 'pip install "gluon_ssd[onnx]"'),
    Piece(
        "onnxruntime",
        ("onnxruntime", "onnxruntime-gpu"),
        "exports to ONNX are not proven by it, no runtime onnxruntime",
        'pip install "gluon_ssd[onnxruntime]"',
    ),
    Piece(
        "openvino",
        ("openvino",),
        "no export to OpenVINO, no runtime openvino",
        'pip install "gluon_ssd[openvino]"',
    ),
    Piece("uvicorn", ("uvicorn",), "no gluon-ssd serve", 'pip install "gluon_ssd[serve]"'),
    Piece("torch", ("torch",), "exports to PyTorch are not proven", 'pip install "gluon_ssd[torch]"'),
)


def provenance() -> dict[str, Any]:
    """Returns what this process is, for those who read its results later: command, time, machine, versions.

    It imports nothing.
    """
    command = [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv and sys.argv[0] else ["python"]
    versions = {"gluon_ssd": __version__, "Python": platform.python_version()}
    for piece in REQUIRED[:3]:
        versions[piece.module] = _version(piece.distributions) or "unknown"
    return {
        "command": shlex.join(command),
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "machine": f"{socket.gethostname()}: {cores()} cores, {_processor()}, {platform.platform()}",
        "versions": versions,
    }


def _processor() -> str:
    """Returns the name of the processor, as far as the system tells."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> list[Fact]:
    """Returns the facts about Python and the processor."""
    version = platform.python_version()
    fits = OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON
    python = (
        Fact("python", version)
        if fits
        else Fact("python", version, BROKEN, "gluon_ssd runs on Python 3.9 to 3.13")
    )
    return [Fact("gluon_ssd", __version__), python, _system(), _threads(cores())]


def _system() -> Fact:
    """The fact about the operating system.

    It is not broken where MXNet is missing for it: all that needs no network runs everywhere.
    """
    name = platform.platform()
    if has_mxnet():
        return Fact("system", name)
    return Fact("system", name, ABSENT, "MXNet is not published for it; weight files and data sets work")


def _threads(available: int) -> Fact:
    # MXNet's own variable wins over OpenMP's.
    asked = os.environ.get("MXNET_OMP_MAX_THREADS") or os.environ.get("OMP_NUM_THREADS")
    if asked is None:
        return Fact("cores", f"{available}; OMP_NUM_THREADS is not set")
    text = f"{available}, of which MXNet uses {asked}"
    slow = asked.isdecimal() and int(asked) < available
    return Fact("cores", text, OK, f"export OMP_NUM_THREADS={available} uses them all" if slow else "")


def sharing(others: OtherPrograms) -> Fact:
    """Returns the fact about what else has run on this machine since ``others`` was made."""
    warning = others.warning()
    if warning is None:
        return Fact("other programs", f"took {others.share():.0%} of the cores' time")
    return Fact("other programs", warning.replace("other programs took", "took"), OK, SHARED_ADVICE)


def required() -> list[Fact]:
    """Returns one fact per package that must be there. Each is imported, to see that it really works."""
    return [_check_required(piece) for piece in REQUIRED]


def optional() -> list[Fact]:
    """Returns one fact per optional package. None is imported, but DALI and GluonCV are tried."""
    facts = []
    for piece in OPTIONAL:
        version = _version(piece.distributions)
        if version is None or not _can_find(piece.module):
            facts.append(Fact(piece.module, "not installed", ABSENT, f"{piece.cost}: {piece.install}"))
        elif piece.module in _TRIALS:
            facts.append(_try(piece, version))
        else:
            facts.append(Fact(piece.module, version))
    return facts


def _decode_with_dali() -> str:
    return ", " + str(importlib.import_module("gluon_ssd.data.dali.support").decode_one())


def _import_gluoncv() -> str:
    importlib.import_module("gluon_ssd.model_zoo.gluoncv_backbone").import_gluoncv()
    return ""


# These packages install where they cannot run: beside an old driver, or on a processor or a Python that they
# are not made for. Each function returns what to say after the version.
_TRIALS = {"nvidia.dali": _decode_with_dali, "gluoncv": _import_gluoncv}


def _try(piece: Piece, version: str) -> Fact:
    try:
        outcome = _TRIALS[piece.module]()
    except Exception as error:  # whatever a package of others raises
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        advice = f"does not work ({reason or type(error).__name__}); {piece.cost}: {piece.install}"
        return Fact(piece.module, version, BROKEN, advice)
    return Fact(piece.module, version + outcome)


def mxnet_features() -> Fact:
    """Returns the build features of MXNet that decide its speed. Call it only where MXNet imports."""
    runtime = importlib.import_module("mxnet.runtime")
    features = runtime.Features()
    wanted = {
        "MKLDNN": "oneDNN",
        "CUDA": "CUDA",
        "CUDNN": "cuDNN",
        "OPENCV": "OpenCV",
        "DIST_KVSTORE": "dist kvstore",
    }
    present = [label for name, label in wanted.items() if features.is_enabled(name)]
    gpus = importlib.import_module("mxnet").context.num_gpus() if features.is_enabled("CUDA") else 0
    return Fact("mxnet features", f"{', '.join(present) or 'none'}; {gpus} GPUs")


# What NVIDIA's image of MLPerf v1.1 sets, and ours on GPUs: how Horovod and MXNet queue, bundle and tune.
GPU_VARIABLES = {
    "HOROVOD_CYCLE_TIME": "0.1",
    "HOROVOD_CACHE_CAPACITY": "2048",
    "HOROVOD_BATCH_D2D_MEMCOPIES": "1",
    "HOROVOD_NUM_NCCL_STREAMS": "1",
    "HOROVOD_ENABLE_ASYNC_COMPLETION": "1",
    "MXNET_ASYNC_GPU_ENGINE": "1",
    "MXNET_CUDNN_AUTOTUNE_DEFAULT": "0",
    "MXNET_CUDNN_NHWC_BN_HEURISTIC_GBN": "3",
    "MXNET_CUDNN_NHWC_BN_ADD_HEURISTIC_GBN": "3",
    "MXNET_CUDNN_NHWC_BN_ADD_HEURISTIC_BWD": "1",
    "MXNET_CUDNN_NHWC_BN_ADD_HEURISTIC_FWD": "1",
    "MXNET_EXEC_BULK_EXEC_MAX_NODE_TRAIN_FWD": "999",
    "MXNET_EXEC_BULK_EXEC_MAX_NODE_TRAIN_BWD": "999",
    "MXNET_EXEC_ENABLE_ADDTO": "1",
    "MXNET_GPU_WORKER_NTHREADS": "1",
    "MXNET_CPU_PRIORITY_NTHREADS": "1",
    "MXNET_ENABLE_CUDA_GRAPHS": "1",
    "MXNET_CUDNN_WARN_ON_IGNORED_FLAGS": "0",
    "OMP_NUM_THREADS": "1",
    "OMPI_MCA_btl": "^openib",
    "OMPI_MCA_coll_hcoll_enable": "0",
}


def gpu_variables() -> Fact:
    """Returns how many of `GPU_VARIABLES` are set as published, and which are not."""
    other = [f"{name}={value}" for name, value in GPU_VARIABLES.items() if os.environ.get(name) != value]
    text = f"{len(GPU_VARIABLES) - len(other)} of {len(GPU_VARIABLES)} as in NVIDIA's image"
    return Fact("variables", text, OK, "for speed, set " + " ".join(other) if other else "")


def operators() -> list[Fact]:
    """Returns which operators the layers are made of, per device. Call it only where MXNet imports."""
    return [
        Fact(f"operators {device}", text)
        for device, text in importlib.import_module("gluon_ssd.ops").report().items()
    ]


def _check_required(piece: Piece) -> Fact:
    version = _version(piece.distributions)
    advice = f"{piece.cost}: {piece.install}"
    if version is None and not _can_find(piece.module):
        return Fact(piece.module, "not installed", BROKEN, advice)
    # A package that was built from source may import without pip knowing its version.
    shown = version or "unknown version"
    try:
        importlib.import_module(piece.module)
    except Exception as error:  # a broken binary package can raise anything at import
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Fact(piece.module, shown, BROKEN, f"does not import ({reason}); {advice}")
    return Fact(piece.module, shown)


def _version(distributions: Iterable[str]) -> str | None:
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _can_find(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
