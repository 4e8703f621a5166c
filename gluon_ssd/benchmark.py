"""How fast a detector runs here, in every runtime and precision that is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from .errors import UserError
from .runtimes.choices import PRECISIONS, SUFFIXES
from .runtimes.sessions import is_model_file

_CHILD = "from gluon_ssd.benchmark import child; child()"


@dataclass(frozen=True)
class Speed:
    """What was measured of one setting.

    ``median_ms`` and ``p95_ms``: of one batch through the network and its post-processing.
    ``prepare_ms``: of resizing and normalising one picture of 640x480, which comes on top for each image.
    """

    runtime: str
    precision: str
    batch: int
    median_ms: float
    p95_ms: float
    images_per_s: float
    prepare_ms: float


COLUMNS = tuple(item.name for item in fields(Speed))


def settings_for(source: Any, runtimes: Sequence[str] | None = None) -> list[tuple[str, str]]:
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
    chosen = runtimes or [name for name in fitting if importlib.util.find_spec(name) is not None]
    return [(name, precision) for name in chosen for precision in PRECISIONS[name]]


def measure(
    source: str, runtime: str, precision: str, batch: int, rounds: int, plugins: Sequence[str] = ()
) -> Speed:
    """Times ``rounds`` batches, after two that do not count, in a process of its own.

    ``plugins`` are imported there first. One process would give the later settings threads and memory that
    the earlier ones have left. Raises UserError with what the process has to say where it fails.
    """
    asked = json.dumps([source, runtime, precision, batch, rounds, list(plugins)])
    done = subprocess.run([sys.executable, "-c", _CHILD, asked], capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it ended without a word"]
        raise UserError(f"{runtime} {precision}: {lines[-1].split('UserError: ')[-1]}")
    return Speed(**json.loads(done.stdout.splitlines()[-1]))


def child() -> None:
    """What the process of a measurement does: prints one as JSON."""
    from .data.shapes import make_picture
    from .plugins import import_plugins
    from .predict import Detector, to_pixels

    source, runtime, precision, batch, rounds, plugins = json.loads(sys.argv[1])
    import_plugins(plugins)
    detector = Detector(source, runtime=runtime, precision=precision, fuse=True)
    picture = make_picture(np.random.default_rng(0), (480, 640))[0]
    prepare = np.median(list(_times(lambda: detector.prepare([picture]), rounds)))
    inputs = np.concatenate([detector.prepare([picture])] * batch)
    # To pixels, because MXNet's results are only waited for where they are read.
    sizes = np.array([picture.shape[:2]] * batch)
    times = np.array(list(_times(lambda: list(to_pixels(detector.detect_batch(inputs), sizes)), rounds)))
    median = float(np.median(times))
    measured = (median, float(np.percentile(times, 95)), batch / median * 1e3, float(prepare))
    print(json.dumps(asdict(Speed(runtime, precision, batch, *(round(value, 3) for value in measured)))))


def _times(work: Any, rounds: int, warm_up: int = 2) -> Iterator[float]:
    """Milliseconds of each call."""
    for turn in range(rounds + warm_up):
        start = time.perf_counter()
        work()
        if turn >= warm_up:
            yield (time.perf_counter() - start) * 1e3


def as_csv(speeds: Sequence[Speed]) -> str:
    """The measurements as CSV."""
    rows = [",".join(map(str, asdict(speed).values())) for speed in speeds]
    return "\n".join([",".join(COLUMNS), *rows]) + "\n"


def as_markdown(speeds: Sequence[Speed]) -> str:
    """The measurements as a table in Markdown, which is also what the console shows."""
    rows = [[str(value) for value in asdict(speed).values()] for speed in speeds]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows)]
    lines = [COLUMNS, ["-" * width for width in widths], *rows]
    texts = [" | ".join(text.ljust(width) for text, width in zip(line, widths)) for line in lines]
    return "\n".join(f"| {text} |" for text in texts) + "\n"
