"""scripts/datasets/get_*_backbone.sh: what they print, and do with a mirror instead of the network."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import REPOSITORY

from gluon_ssd.weights import WEIGHTS

FOLDER = REPOSITORY / "scripts" / "datasets"
FILES = {
    "resnet18": "resnet18-f37072fd",
    "resnet34": "resnet34-333f7ec4",
    "resnet50": "resnet50-19c8e357",
    "resnet101": "resnet101-63fe2227",
    "resnet152": "resnet152-394f9c45",
    "resnext50": "resnext50_32x4d-7cdf4587",
}
SCRIPTS = [FOLDER / f"get_{name}_backbone.sh" for name in FILES]


def run(script, *arguments, folder, **environment):
    env = {**os.environ, "GLUON_SSD_MIRROR": "", "GLUON_SSD_IMAGE": "", **environment}
    return subprocess.run(
        [script, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("script", [*SCRIPTS, *sorted(FOLDER.glob("[!g]*.sh"))], ids=lambda path: path.name)
def test_syntax(script):
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    checker = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if checker:
        done = subprocess.run([checker, "-x", "-P", REPOSITORY, script], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_help_and_dry_run(script, tmp_path):
    file = FILES[script.name.split("_")[1]]
    assert f"{file}.pth" in {row.file for row in WEIGHTS.values()}
    assert f"{file}.pickle" in run(script, "--help", folder=tmp_path).stdout
    done = run(script, "--dry-run", "--output", "/data/b", folder=tmp_path)
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0] == "mkdir -p /data/b"
    assert lines[1].endswith(f"/data/b/{file}.pth.part https://download.pytorch.org/models/{file}.pth")
    assert lines[2] == f"sha256sum /data/b/{file}.pth.part  # must start with {file.split('-')[1]}"
    assert lines[3] == f"mv /data/b/{file}.pth.part /data/b/{file}.pth"
    assert lines[4:] == [f"gluon-ssd convert /data/b/{file}.pth /data/b/{file}.pickle"]
    assert list(tmp_path.iterdir()) == []


def test_in_a_container(tmp_path):
    done = run(SCRIPTS[1], "--docker", "--dry-run", folder=tmp_path, GLUON_SSD_IMAGE="mine:1")
    user = f"{os.getuid()}:{os.getgid()}"
    assert done.stdout.splitlines()[-1].strip() == (
        f"docker run --rm --user {user} --volume {tmp_path}:/backbones mine:1 gluon-ssd convert "
        "/backbones/resnet34-333f7ec4.pth /backbones/resnet34-333f7ec4.pickle"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dryrun"], "error: unknown argument --dryrun (see: get_resnet34_backbone.sh --help)\n"),
        (["--output"], "error: --output needs a folder\n"),
    ],
)
def test_mistakes(tmp_path, arguments, message):
    done = run(SCRIPTS[1], *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


@pytest.fixture
def stand_in(tmp_path):
    """A script for a file of ours, and programs that stand in for docker and gluon-ssd."""
    content = b"weights"
    file = f"mine-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / file).write_bytes(content)
    script = tmp_path / "get.sh"
    script.write_text(
        f'#!/usr/bin/env bash\nset -euo pipefail\n. {FOLDER}/backbone.sh\nget_backbone mine {file} "$@"\n'
    )
    (tmp_path / "bin").mkdir()
    for name in ("gluon-ssd", "docker"):
        (tmp_path / "bin" / name).write_text('#!/bin/sh\necho "$(basename "$0") $*"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    script.chmod(0o755)
    environment = {"GLUON_SSD_MIRROR": str(tmp_path / "usb"), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    return script, file, environment


def test_with_a_mirror(tmp_path, stand_in):
    script, file, environment = stand_in
    done = run(script, "--output", "out", folder=tmp_path, **environment)
    out = tmp_path / "out" / file
    assert (done.stderr, done.stdout) == ("", f"gluon-ssd convert {out} {out.with_suffix('.pickle')}\n")
    assert [path.name for path in out.parent.iterdir()] == [file]
    (tmp_path / "usb" / file).unlink()
    assert run(script, "--output", "out", folder=tmp_path, **environment).returncode == 0
    done = run(script, "--output", "out", "--docker", folder=tmp_path, **environment)
    assert done.stdout.startswith("docker run --rm")


def test_wrong_content_is_not_kept(tmp_path, stand_in):
    script, file, environment = stand_in
    (tmp_path / "usb" / file).write_bytes(b"page")
    done = run(script, folder=tmp_path, **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"error: {file}: what came is not the published file; its SHA-256 does not start"
    )
    assert not list(tmp_path.glob("mine*"))


def test_a_mirror_without_the_file(tmp_path):
    done = run(SCRIPTS[0], folder=tmp_path, GLUON_SSD_MIRROR="/nowhere")
    message = "error: /nowhere/resnet18-f37072fd.pth: no such file in the mirror\n"
    assert (done.returncode, done.stderr) == (2, message)


def test_without_the_command(tmp_path, stand_in):
    script, _, environment = stand_in
    (tmp_path / "bin" / "gluon-ssd").unlink()
    environment["PATH"] = f"{tmp_path}/bin:/usr/bin:/bin"
    done = run(script, folder=tmp_path, **environment)
    assert done.stderr.startswith(
        "error: gluon-ssd is not installed; pip install it, or convert in a container"
    )
