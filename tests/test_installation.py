"""An installation works from every folder, also from the one that holds a clone called gluon_ssd."""

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from places import REPOSITORY

NOT_SOURCE = (".*", "build", "dist", "runs", "tests", "*.egg-info", "__pycache__")
WHERE = "from gluon_ssd import Detector; import gluon_ssd; print(gluon_ssd.__file__)"


def make_clone(parent):
    """A copy of the checkout in a folder of the package's own name, as `git clone` makes it."""
    return Path(shutil.copytree(REPOSITORY, parent / "gluon_ssd", ignore=shutil.ignore_patterns(*NOT_SOURCE)))


class Environment:
    """A fresh environment that sees the packages of the running one, but not what is installed editable."""

    def __init__(self, folder):
        venv.create(folder, with_pip=False)
        windows = os.name == "nt"
        self.python = folder / ("Scripts/python.exe" if windows else "bin/python")
        self.command = folder / ("Scripts/gluon-ssd.exe" if windows else "bin/gluon-ssd")
        own = self.run("import sysconfig; print(sysconfig.get_path('purelib'))", folder)
        paths = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        (Path(own) / "running.pth").write_text("\n".join(paths) + "\n")

    def run(self, code, folder):
        return self.call([self.python, "-c", code], folder)

    def call(self, command, folder):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def install(self, *what):
        pip = [self.python, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation"]
        # Outside of every checkout, and as if nothing were there: the running environment has gluon_ssd too.
        self.call([*pip, "--ignore-installed", *what], self.python.parent)


@pytest.fixture(scope="module")
def editable(tmp_path_factory):
    """An environment with the clone installed editable, and the clone."""
    parent = tmp_path_factory.mktemp("editable")
    environment, clone = Environment(parent / "environment"), make_clone(parent)
    environment.install("-e", str(clone))
    return environment, clone


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """An environment with a wheel that was built from the source distribution, and a clone."""
    parent = tmp_path_factory.mktemp("wheel")
    environment, clone = Environment(parent / "environment"), make_clone(parent)
    hook = "from setuptools.build_meta import build_{0}; print(build_{0}({1!r}))"
    name = environment.run(hook.format("sdist", str(parent)), clone).splitlines()[-1]
    environment.call([environment.python, "-m", "tarfile", "-e", parent / name, parent / "source"], parent)
    source = parent / "source" / name[: -len(".tar.gz")]
    name = environment.run(hook.format("wheel", str(parent)), source).splitlines()[-1]
    environment.install(str(parent / name))
    return environment, clone


@pytest.mark.parametrize("place", [".", "..", "gluon_ssd", "../environment"])
def test_a_clone_is_found_from_every_folder(editable, place):
    environment, clone = editable
    assert Path(environment.run(WHERE, clone / place)) == clone / "gluon_ssd" / "__init__.py"


def test_a_script_beside_a_clone_finds_it(editable):
    environment, clone = editable
    script = clone.parent / "script.py"
    script.write_text(WHERE)
    found = environment.call([environment.python, str(script)], clone.parent.parent)
    assert Path(found) == clone / "gluon_ssd" / "__init__.py"


def test_the_command_of_a_clone_runs_beside_it(editable):
    environment, clone = editable
    assert "ssd_tiny/demo" in environment.call([environment.command, "models", "ssd_tiny"], clone.parent)
    module = [environment.python, "-m", "gluon_ssd", "--version"]
    assert environment.call(module, clone.parent).startswith("gluon_ssd ")


@pytest.mark.parametrize("place", ["..", "../environment"])
def test_a_wheel_wins_over_a_clone_in_the_current_folder(wheel, place):
    environment, clone = wheel
    found = Path(environment.run(WHERE, clone / place))
    assert found.parent.parent.name == "site-packages"
    assert clone not in found.parents


def test_a_wheel_detects_away_from_the_checkout(wheel, tmp_path):
    environment, _ = wheel
    code = (
        "import numpy as np\n"
        "from gluon_ssd import Detector, get_model\n"
        "from gluon_ssd.recipe import load_recipe\n"
        "detector = Detector(get_model(load_recipe('ssd_tiny/smoke').model), score_threshold=0.001)\n"
        "found = detector(np.zeros((60, 80, 3), np.uint8))\n"
        "print(found.xyxy.shape[1], len(found.names) > 0)"
    )
    assert environment.run(code, tmp_path).splitlines()[-1] == "4 True"


def test_a_source_distribution_holds_what_a_wheel_is_made_of(wheel):
    _, clone = wheel
    source = next((clone.parent / "source").iterdir())
    for name in ("README.md", "LICENSE", "pyproject.toml", "setup.py", "gluon_ssd/py.typed"):
        assert (source / name).read_bytes() == (REPOSITORY / name).read_bytes()
    recipes = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "model_zoo").glob("*/*.*")}
    assert {path.relative_to(source) for path in (source / "model_zoo").glob("*/*.*")} == recipes


def test_a_wheel_holds_nothing_but_the_package(wheel):
    _, clone = wheel
    (built,) = clone.parent.glob("gluon_ssd-*.whl")
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
    inside = [name for name in names if not re.match(r"gluon_ssd-[^/]*\.dist-info/", name)]
    assert {name.split("/")[0] for name in inside} == {"gluon_ssd"}
    kinds = {Path(name).suffix for name in inside if not name.endswith("/py.typed")}
    assert kinds <= {".py", ".html", ".css", ".js", ".txt", ".md", ".yaml"}, kinds
