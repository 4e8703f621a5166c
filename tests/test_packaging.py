"""setup.py says what it must, and what it packs holds the code, the cards and the recipes."""

import os
import re
import subprocess
import sys

import pytest
from places import REPOSITORY

from gluon_ssd import resources
from gluon_ssd.version import __version__


@pytest.fixture(scope="module")
def metadata():
    """The arguments that setup.py hands to setuptools."""
    import setuptools

    caught = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **arguments: caught.update(arguments))
        patch.chdir(REPOSITORY)
        source = (REPOSITORY / "setup.py").read_text()
        exec(
            compile(source, str(REPOSITORY / "setup.py"), "exec"), {"__file__": str(REPOSITORY / "setup.py")}
        )
    return caught


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that an installation copies: code and package data."""
    folder = tmp_path_factory.mktemp("build")
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return folder


def test_what_is_public_shows_before_it_is_used(python):
    code = (
        "import sys, gluon_ssd, rlcompleter\n"
        "print(*dir(gluon_ssd))\n"
        "print('mxnet' in sys.modules)\n"
        "print(rlcompleter.Completer({'gluon_ssd': gluon_ssd}).complete('gluon_ssd.Detecto', 0))"
    )
    public, heavy, completed = python(code).out.splitlines()
    assert public == "Callback Detections Detector UserError __version__ get_model list_models load train"
    assert (heavy, completed) == ("False", "gluon_ssd.Detector(")


def test_name_version_and_python(metadata):
    assert (metadata["name"], metadata["version"]) == ("gluon_ssd", __version__)
    assert metadata["python_requires"] == ">=3.9,<3.14"
    assert metadata["license"] == "Apache-2.0"


def test_numpy_has_no_upper_bound(metadata):
    assert "numpy>=1.22" in metadata["install_requires"]


def test_mxnet_is_an_extra(metadata):
    assert not any("mxnet" in line for line in metadata["install_requires"])
    extras = metadata["extras_require"]
    for extra, name in (("cpu", "mxnet"), ("cu112", "mxnet-cu112"), ("cu117", "mxnet-cu117")):
        # On Python 3.13 pip cannot meet MXNet's own bound on numpy.
        assert extras[extra] == [f"{name}==1.9.1; python_version < '3.13'"]
    assert set(extras) >= {"horovod", "dali", "onnx", "tensorboard", "gluoncv", "mlperf", "dev"}


def test_the_command_exists(metadata):
    assert metadata["entry_points"]["console_scripts"] == ["gluon-ssd = gluon_ssd.__main__:main"]


def test_every_package_of_the_source_is_packed(metadata):
    folders = {path.parent.relative_to(REPOSITORY) for path in (REPOSITORY / "gluon_ssd").rglob("*.py")}
    packages = {str(folder).replace("/", ".") for folder in folders}
    assert packages <= set(metadata["packages"])


def test_an_installation_holds_code_cards_and_recipes(installed):
    assert (installed / "gluon_ssd/cli/main.py").is_file()
    assert (installed / "gluon_ssd/report/check.html").is_file()
    assert all((installed / f"gluon_ssd/serving/page.{kind}").is_file() for kind in ("html", "css", "js"))
    data = installed / "gluon_ssd/model_zoo_data"
    for path in (REPOSITORY / "model_zoo").glob("*/*.*"):
        assert (data / path.relative_to(REPOSITORY / "model_zoo")).read_bytes() == path.read_bytes()
    assert [path.name for path in installed.iterdir()] == ["gluon_ssd"]


def test_the_installed_command_finds_its_recipes(installed, tmp_path):
    code = "from gluon_ssd.recipe import load_recipe; print(load_recipe('ssd_tiny/smoke').model)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("ssd_tiny\n", "")


def test_recipes_are_found_in_the_checkout():
    assert resources.recipes_dir() == REPOSITORY / "model_zoo"
    assert {"ssd_resnet34/mlperf", "ssd_resnet34/smoke", "ssd_tiny/demo"} <= set(resources.recipe_names())


def test_recipes_are_found_in_an_installation(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "gluon_ssd"
    (package / "model_zoo_data" / "m").mkdir(parents=True)
    (package / "model_zoo_data" / "m" / "r.yaml").touch()
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert resources.recipe_names() == ["m/r"]
    assert resources.recipe_path("m/r") == package / "model_zoo_data" / "m" / "r.yaml"


def test_the_configuration_file_holds_settings_only():
    headers = [
        line for line in (REPOSITORY / "pyproject.toml").read_text().splitlines() if line.startswith("[")
    ]
    kept = ("build-system", "tool.ruff", "tool.mypy", "tool.pytest")
    assert all(header.strip("[]").startswith(kept) for header in headers)


def test_an_upper_bound_has_a_comment_that_says_why():
    lines = (REPOSITORY / "setup.py").read_text(encoding="utf-8").splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("EXTRAS"))
    end = next(number for number, line in enumerate(lines) if line.startswith("class "))
    # MXNet's version is explained at the top; markers of Python are no bounds of a package.
    bounds = re.compile(r'"(?!mxnet)[a-z][\w\[\]-]*(==|[^";]*<)')
    bare = [
        lines[number]
        for number in range(begin, end)
        if bounds.search(lines[number]) and not any("#" in lines[number - back] for back in (1, 2))
    ]
    assert bare == []
