"""Fixtures that the whole suite shares."""

from __future__ import annotations

import gc
import importlib.util
import os
import platform
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import REPOSITORY

# Before any test imports MXNet, which reads the number of threads only then: two numbers give two roundings.
import gluon_ssd  # noqa: F401

Outcome = namedtuple("Outcome", "status out err")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says on what the tests ran, below their outcome."""
    import cv2
    import mxnet
    import numpy

    packages = {"NumPy": numpy, "MXNet": mxnet, "OpenCV": cv2}
    versions = ", ".join(f"{name} {package.__version__}" for name, package in packages.items())
    terminalreporter.write_line(f"ran on Python {platform.python_version()}, {versions}")


@pytest.fixture(autouse=True)
def free_networks() -> Iterator[None]:
    """Frees the networks of finished tests whenever the process has grown by 256 MB.

    A block and its children know each other, so that only the garbage collector frees them, and it counts
    objects, not what their arrays weigh: without this the suite came to 11 GB.
    """
    yield
    if _memory() > free_networks_at[0]:
        gc.collect()
        free_networks_at[0] = _memory() + 2**28


free_networks_at = [2**28]


def _memory() -> int:
    """Bytes that this process has in memory; 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="session", autouse=True)
def white_plots() -> Iterator[Any]:
    """Leaves plots white, whose drawing takes longer than the rest of a short training and its evaluation.

    Returns what draws them, for `drawn_plots`.
    """
    from PIL import Image

    from gluon_ssd.report.plots import Canvas

    def white(self: Canvas, path: Path) -> None:
        width, height = self.figure.get_size_inches()
        Image.new("L", (int(width * 100), int(height * 100)), 255).save(path, format="png")

    draw = Canvas._draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Canvas, "_draw", white)
        yield draw


@pytest.fixture
def drawn_plots(white_plots, monkeypatch) -> None:
    """Draws the plots that this test makes, so that it fails where one cannot be drawn."""
    monkeypatch.setattr("gluon_ssd.report.plots.Canvas._draw", white_plots)


@pytest.fixture(scope="session")
def coco128() -> Path:
    """The folder of 128 images of COCO, for the tests that want real ones."""
    folder = os.environ.get("GLUON_SSD_COCO128")
    if not folder:
        pytest.skip("GLUON_SSD_COCO128 is not set to a folder with coco128")
    return Path(folder)


@pytest.fixture
def cli(tmp_path, monkeypatch, capfd):
    """Run ``gluon-ssd`` in this process, in an empty folder; returns status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GLUON_SSD_DEBUG", raising=False)

    def run(*arguments: object) -> Outcome:
        from gluon_ssd.cli import main

        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        return Outcome(status, *capfd.readouterr())

    return run


@pytest.fixture
def python(tmp_path):
    """Run a line of Python in a new process that sees the package."""

    def run(code: str, **environment: str) -> Outcome:
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def sigint() -> Iterator[None]:
    """SIGINT interrupts, also where the tests were started with it ignored, as nohup and some CI do."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    """A data set of 12 and 4 small pictures of shapes. Do not write into it."""
    from gluon_ssd.data.shapes import make_shapes

    return make_shapes(tmp_path_factory.mktemp("shapes") / "data", train=12, val=4, size=(96, 128))


@pytest.fixture(scope="session")
def small_run(shapes, tmp_path_factory) -> Path:
    """The run folder of ssd_tiny after 2 steps on `shapes` and an evaluation. Do not write into it."""
    from gluon_ssd.recipe import load_recipe
    from gluon_ssd.training.train import run_training

    folder = tmp_path_factory.mktemp("runs") / "small"
    changes = {"data": str(shapes), "output": str(folder), "batch_size": 4, "max_steps": 2}
    run_training(load_recipe("ssd_tiny/smoke", changes), quiet=True)
    return folder


@pytest.fixture(scope="session")
def gluoncv() -> Any:
    """The package gluoncv, for the tests that want it."""
    if importlib.util.find_spec("gluoncv") is None:
        pytest.skip('gluoncv is not installed: pip install "gluon_ssd[gluoncv]"')
    from gluon_ssd.model_zoo.gluoncv_backbone import import_gluoncv

    return import_gluoncv()
