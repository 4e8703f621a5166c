"""How fast a detector runs here, in every runtime and precision that is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any, Callable

import numpy as np

from .errors import UserError
from .files import csv_text
from .runtimes.choices import PRECISIONS, SUFFIXES, network_device
from .runtimes.sessions import check_precision, is_model_file

_CHILD = "from gluon_ssd.benchmark import child; child()"


@dataclass(frozen=True)
class Speed:
    """What was measured of one setting of ``source``, which is as in `Question`.

    ``median_ms`` and ``p95_ms``: of one batch through the network and its post-processing, of which
    ``post_share`` is post-processing. ``prepare_ms``: of resizing and normalising one picture of 640x480,
    which comes on top for each image and is ``prepare_share`` of the time of both. ``parameters_m`` are
    millions, ``gflop`` those of one image. ``map`` is the COCO mAP where a data set was given. Of an exported
    file post-processing is a part, and its size is not known: None.
    """

    source: str
    runtime: str
    precision: str
    batch: int
    median_ms: float
    p95_ms: float
    images_per_s: float
    prepare_ms: float
    prepare_share: float
    post_share: float | None = None
    parameters_m: float | None = None
    gflop: float | None = None
    map: float | None = None


COLUMNS = tuple(item.name for item in fields(Speed))


def settings_for(
    source: Any, runtimes: Sequence[str] | None = None, precision: str | None = None
) -> list[tuple[str, str]]:
    """Runtimes and precisions that are installed and run this: a network, or an exported file.

    Raises UserError where one that is asked for is not installed or does not run it.
    """
    runs = PRECISIONS if not is_model_file(source) else SUFFIXES
    suffix = os.path.splitext(str(source))[1].lower()
    fitting = [name for name in runs if runs is PRECISIONS or suffix in SUFFIXES[name]]
    for name in runtimes or ():
        if name not in fitting:
            raise UserError(f"{source}: {name} does not run it; use {', '.join(fitting)}")
        if importlib.util.find_spec(name) is None:
            raise UserError(f'{name} is not installed; pip install "gluon_ssd[{name}]"')
        if precision is not None:
            check_precision(name, precision)
    chosen = runtimes or [name for name in fitting if importlib.util.find_spec(name) is not None]
    return [(name, one) for name in chosen for one in PRECISIONS[name] if precision in (None, one)]


@dataclass(frozen=True)
class Question:
    """What the process of a measurement is asked: a checkpoint, model of the zoo or exported file, and how.

    ``device`` is auto, cpu or gpu. ``rounds`` batches are timed, after two that do not count. ``data`` is
    scored where it is given, and ``plugins`` are imported first.
    """

    source: str
    runtime: str
    precision: str
    batches: Sequence[int]
    rounds: int
    data: str | None = None
    plugins: Sequence[str] = ()
    device: str = "auto"


def measure(question: Question) -> list[Speed]:
    """Times each of the batch sizes in a process of its own.

    One process for all would give the later settings threads and memory that the earlier ones have left.
    Raises UserError with what the process has to say where it fails.
    """
    asked = json.dumps(asdict(question))
    done = subprocess.run([sys.executable, "-c", _CHILD, asked], capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it ended without a word"]
        raise UserError(f"{question.runtime} {question.precision}: {lines[-1].split('UserError: ')[-1]}")
    return [Speed(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def child() -> None:
    """What the process of a measurement does: prints its rows as JSON."""
    from .plugins import import_plugins
    from .predict import Detector

    asked = Question(**json.loads(sys.argv[1]))
    import_plugins(asked.plugins)
    source = asked.source if is_model_file(asked.source) else _network(asked)
    how: dict[str, Any] = {"runtime": asked.runtime, "precision": asked.precision, "device": asked.device}
    detector = Detector(source, fuse=True, **how)
    facts, bare = ({}, None) if source is asked.source else _about(source, detector, asked)
    if asked.data is not None:
        facts["map"] = _score(detector, asked.data)
    rows = [_timed(detector, bare, asked, batch) for batch in asked.batches]
    print(json.dumps([{**row, **facts} for row in rows]))


def _network(asked: Question) -> Any:
    """Returns a network of the zoo with random values where that is its name, else that of a checkpoint."""
    from .device import pick_device
    from .model_zoo import get_model, is_model
    from .weights.loading import load

    device = network_device(asked.runtime, asked.device)
    if is_model(asked.source):
        return get_model(asked.source, ctx=pick_device(device))
    return load(asked.source, device)


def _about(net: Any, detector: Any, asked: Question) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """Returns size and cost of a network, and what runs it in the runtime without its post-processing."""
    from .export.sources import network_of
    from .model_zoo.profile import profile_network

    profile = profile_network(network_of(net))
    facts = {"parameters_m": round(profile.parameters / 1e6, 2), "gflop": round(profile.gflops, 2)}
    if asked.runtime != "mxnet":
        from .export.in_memory import open_network

        session = open_network(net, None, asked.runtime, asked.device, asked.precision)
        return facts, getattr(session, "run_network", session.run)
    return facts, detector.runner.run_network


def _score(detector: Any, data: str) -> float:
    from .data.opening import open_dataset
    from .training.evaluate import evaluate

    dataset = open_dataset(data, "val", classes=detector.classes, absent_ok=True)
    return round(float(evaluate(detector, dataset).scores.stats["map"]), 4)


def _timed(detector: Any, bare: Callable[[Any], Any] | None, asked: Question, batch: int) -> dict[str, Any]:
    """Returns the measurements of one batch size, as fields of `Speed`."""
    from .data.shapes import make_picture

    picture = make_picture(np.random.default_rng(0), (480, 640))[0]
    inputs = np.concatenate([detector.prepare([picture])] * batch)
    sizes = np.array([picture.shape[:2]] * batch)
    works: list[Callable[[], Any]] = [lambda: detector.prepare([picture])]
    works.append(partial(_detect, detector, inputs, sizes))
    if bare is not None:
        works.append(partial(bare, inputs))
    prepare, whole, *rest = _in_turn(works, asked.rounds)
    median, each = float(np.median(whole)), float(np.median(prepare))
    row = {
        "median_ms": median,
        "p95_ms": float(np.percentile(whole, 95)),
        "images_per_s": batch / median * 1e3,
        "prepare_ms": each,
        "prepare_share": each / (each + median / batch),
        "post_share": max(0.0, float(np.median(1 - rest[0] / whole))) if rest else None,
    }
    rounded = {name: None if value is None else round(value, 3) for name, value in row.items()}
    setting = {name: getattr(asked, name) for name in ("source", "runtime", "precision")}
    return {**setting, "batch": batch, **rounded}


def part_times(detector: Any, images: Sequence[Any], rounds: int = 5) -> dict[str, float]:
    """Returns the milliseconds that each of ``images`` takes, by part, one part after the other.

    The parts are ``reading`` (decoding and resizing, in one thread), ``network`` and ``post-processing``;
    outside of MXNet the last two are one, ``network with post-processing``. All images are one batch; times
    are the median of ``rounds``. Raises UserError for an image that cannot be read.
    """
    start = time.perf_counter()
    inputs, sizes = zip(*map(detector.input_of, images))
    times = {"reading": (time.perf_counter() - start) * 1e3}
    batch = np.stack(inputs)
    works: list[Callable[[], Any]] = [partial(_detect, detector, batch, np.array(sizes))]
    if hasattr(detector.runner, "run_network"):
        works.append(partial(detector.runner.run_network, batch))
    whole, *network = (float(np.median(row)) for row in _in_turn(works, rounds))
    if network:
        times.update({"network": network[0], "post-processing": max(0.0, whole - network[0])})
    else:
        times["network with post-processing"] = whole
    return {part: milliseconds / len(inputs) for part, milliseconds in times.items()}


def _detect(detector: Any, inputs: np.ndarray, sizes: np.ndarray) -> None:
    """Detects on one batch, up to pixels: MXNet's results are only waited for where they are read."""
    from .predict import to_pixels

    list(to_pixels(detector.detect_batch(inputs), sizes))


def _in_turn(works: Sequence[Callable[[], Any]], rounds: int, warm_up: int = 2) -> np.ndarray:
    """Returns the milliseconds of each call, (works, rounds): one after the other, so that noise hits all."""
    times = np.zeros((rounds + warm_up, len(works)))
    for row in times:
        for index, work in enumerate(works):
            start = time.perf_counter()
            work()
            row[index] = (time.perf_counter() - start) * 1e3
    return times[warm_up:].T


def _cells(speeds: Sequence[Speed]) -> list[list[str]]:
    return [["" if value is None else str(value) for value in asdict(speed).values()] for speed in speeds]


def as_csv(speeds: Sequence[Speed]) -> str:
    """Returns the measurements as CSV."""
    return csv_text([COLUMNS, *_cells(speeds)])


def as_markdown(speeds: Sequence[Speed]) -> str:
    """Returns the measurements as a table in Markdown, which is also what the console shows."""
    rows = _cells(speeds)
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows)]
    lines = [COLUMNS, ["-" * width for width in widths], *rows]
    texts = [" | ".join(text.ljust(width) for text, width in zip(line, widths)) for line in lines]
    return "\n".join(f"| {text} |" for text in texts) + "\n"
