"""scripts/docker: the commands they print and run, with a fake docker that writes down its arguments."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import REPOSITORY

FOLDER = REPOSITORY / "scripts" / "docker"
BUILD, LAUNCH = FOLDER / "build.sh", FOLDER / "launch.sh"


@pytest.fixture
def run(tmp_path):
    """Runs a script in an empty folder, with a docker that prints its arguments one a line."""
    fake = tmp_path / "bin" / "docker"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nprintf "%s\\n" docker "$@"\n')
    fake.chmod(0o755)
    (tmp_path / "work").mkdir()

    def call(script, *arguments, **environment):
        env = {key: value for key, value in os.environ.items() if not key.startswith("GLUON_SSD")}
        env.update(environment, PATH=f"{fake.parent}:{os.environ['PATH']}")
        command = [script, *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path / "work", env=env, capture_output=True, text=True)

    return call


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.sh")), ids=lambda path: path.name)
def test_syntax(script):
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    checker = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if checker:
        done = subprocess.run([checker, "-x", "-P", REPOSITORY, script], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "")


def test_launch_mounts_data_sets_results_and_the_repository(run, tmp_path):
    (tmp_path / "data sets").mkdir()
    done = run(LAUNCH, tmp_path / "data sets", "results", "gluon-ssd", "train", "--data", "/datasets/my set")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    mounts = [lines[number + 1] for number, line in enumerate(lines) if line == "--volume"]
    work = tmp_path / "work"
    wanted = [f"{REPOSITORY}:/workspace/ssd", f"{tmp_path}/data sets:/datasets", f"{work}/results:/results"]
    assert mounts == wanted and (work / "results").is_dir()
    assert lines[:5] == ["docker", "run", "--rm", "--gpus", "all"]
    assert lines[-5:] == ["gluon_ssd:latest", "gluon-ssd", "train", "--data", "/datasets/my set"]


def test_launch_on_a_machine_without_gpus(run, tmp_path):
    lines = run(LAUNCH, "--cpu", tmp_path, "out").stdout.splitlines()
    assert "--gpus" not in lines and lines[-2:] == ["gluon_ssd:cpu", "bash"]


def test_images_and_gpus_come_from_the_environment(run, tmp_path):
    names = {"GLUON_SSD_IMAGE": "mine:2", "GLUON_SSD_GPUS": "device=1"}
    line = run(LAUNCH, "--dry-run", tmp_path, "out", **names).stdout
    assert " mine:2 bash" in line and " --gpus device=1 " in line
    line = run(BUILD, "--dry-run", GLUON_SSD_IMAGE="mine:2", GLUON_SSD_BASE_IMAGE="base:1").stdout
    assert "--build-arg BASE_IMAGE=base:1 --tag mine:2" in line


@pytest.mark.parametrize(
    ("flags", "file", "image"),
    [
        ([], "Dockerfile", "latest"),
        (["--cpu"], "Dockerfile.cpu", "cpu"),
        (["--serve"], "Dockerfile.serve", "serve"),
    ],
)
def test_build_names_a_file_that_is_there_and_starts_from_the_configured_image(run, flags, file, image):
    lines = run(BUILD, *flags, "--", "--pull").stdout.splitlines()
    assert lines[:3] == ["docker", "build", "--pull"] and lines[-1] == str(REPOSITORY)
    assert lines[lines.index("--tag") + 1] == f"gluon_ssd:{image}"
    path = Path(lines[lines.index("--file") + 1])
    base = lines[lines.index("--build-arg") + 1]
    assert path == FOLDER / file and f"ARG {base}\n" in path.read_text()


@pytest.mark.parametrize("file", ["Dockerfile", "Dockerfile.cpu", "Dockerfile.serve"])
def test_extras_of_the_images_are_the_packages(file):
    extras = re.search(r"'\.\[(.+)]'", (FOLDER / file).read_text())[1].split(",")
    setup = (REPOSITORY / "setup.py").read_text()
    assert extras and all(f'"{extra}": [' in setup for extra in extras)
    assert ("cpu" in extras) == (file != "Dockerfile")


def test_dry_runs_do_nothing(run, tmp_path):
    for script, arguments in ((BUILD, []), (LAUNCH, ["/nowhere", "out"])):
        done = run(script, "--dry-run", *arguments)
        assert done.returncode == 0 and done.stdout.startswith("docker ") and done.stdout.count("\n") == 1
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        (BUILD, ["--gpu"], "unknown argument --gpu (see: build.sh --help)"),
        (LAUNCH, ["--gpu", "a", "b"], "unknown argument --gpu (see: launch.sh --help)"),
        (LAUNCH, ["only"], "give the folder of the data sets and that of the results"),
        (LAUNCH, ["/nowhere", "out"], "/nowhere: no such folder"),
    ],
)
def test_mistakes_are_one_line(run, script, arguments, message):
    done = run(script, *arguments)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("script", [BUILD, LAUNCH], ids=lambda path: path.name)
def test_help(run, script):
    done = run(script, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: {script.name}") and "example:" in done.stdout


def test_the_image_has_the_variables_that_doctor_looks_for():
    from gluon_ssd.environment import GPU_VARIABLES

    text = (FOLDER / "Dockerfile").read_text()
    found = dict(re.findall(r"\b([A-Z][A-Za-z0-9_]*_[A-Za-z0-9_]+)=(\S+)", text))
    assert {name: found.get(name) for name in GPU_VARIABLES} == GPU_VARIABLES


def test_verify_writes_what_it_finds_into_one_file(run, tmp_path):
    """Here on the CPU, and of the checks only the quickest; all of them take minutes."""
    verify = FOLDER / "verify.sh"
    lines = run(verify, "--dry-run", "--output", "out.txt").stdout.splitlines()
    assert len(lines) == 2 and "GLUON_SSD_VERIFY=gpu" in lines[1] and not (tmp_path / "work/out.txt").exists()
    done = run(verify, "--cpu", "--output", "out.txt", "-k", "fused or python", PYTHON=sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "work" / "out.txt").read_text()
    assert "everything required works" in text and "3 passed" in text
    assert "no fused operators in this MXNet" in text and done.stdout.endswith("written: out.txt\n")
    done = run(verify, "--cpu", "--output", "no/out.txt", PYTHON=sys.executable)
    assert (done.returncode, done.stderr) == (2, "error: no/out.txt: cannot be written\n")
    done = run(verify, "--cpu", "-k", "speed and nothing", PYTHON=sys.executable)
    assert done.returncode != 0
