"""Scripts of every kind: called through a link, from a folder whose name has a space; unwritable places."""

import os
import subprocess

import pytest
from places import REPOSITORY

SCRIPTS = REPOSITORY / "scripts"
PROGRAMS = [path for path in sorted(SCRIPTS.rglob("*")) if path.is_file() and os.access(path, os.X_OK)]
SHELL = [path for path in PROGRAMS if path.suffix in (".sh", ".sub")]
# What a dry run needs beside --dry-run.
ARGUMENTS = {"launch.sh": ["data", "out"], "bind.sh": ["echo"]}


def test_there_are_scripts_in_every_folder():
    assert {path.parent.name for path in SHELL} == {"train", "docker", "datasets"} and len(SHELL) > 35


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_a_link_does_what_the_script_does(script, tmp_path):
    folder = tmp_path / "my folder"
    folder.mkdir()
    (folder / "link").symlink_to(script)
    fixed = {"DATESTAMP": "d", "SEED": "1", "LOCAL_RANK": "0", "GPUS_PER_NODE": "1", "GLUON_SSD_IMAGE": "i"}
    fixed["BENCHMARK"] = "ssd"
    env = {**os.environ, **fixed, "GLUON_SSD_MIRROR": ""}
    results = []
    for program in (script, "./link"):
        command = [program, "--dry-run", *ARGUMENTS.get(script.name, [])]
        results.append(subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True))
    assert results[0].returncode == 0, results[0].stderr
    assert (results[1].stdout, results[1].stderr) == (results[0].stdout, "")
    assert len(results[0].stdout) > 3 and list(folder.iterdir()) == [folder / "link"]


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        ("datasets/download_coco2017.sh file/set", "file/downloads"),
        ("datasets/download_openimages_mlperf.sh file/set", "file/set/validation/labels"),
        ("datasets/get_resnet34_backbone.sh --output file/set", "/file/set"),
        ("docker/launch.sh . file/set", "/file/set"),
        ("train/run_with_docker.sh", "/file/set"),
    ],
)
def test_a_folder_that_cannot_be_made_is_one_line(line, folder, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "bin").mkdir()
    for name in ("gluon-ssd", "docker", "unzip"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / name).chmod(0o755)
    for part in ("annotations", "train2017", "val2017"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "any").write_text("")
    values = {"DATADIR": ".", "LOGDIR": "file/set", "GLUON_SSD_MIRROR": str(tmp_path), "BENCHMARK": "ssd"}
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    program, *arguments = line.split()
    done = subprocess.run(
        [SCRIPTS / program, *arguments],
        cwd=tmp_path,
        env={**os.environ, **values, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.endswith(f"{folder}: cannot be made\n"), done
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
