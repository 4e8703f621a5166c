"""Every script of scripts/: called through a link, from a folder whose name has a space."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
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
    env = {**os.environ, **fixed, "GLUON_SSD_MIRROR": ""}
    results = []
    for program in (script, "./link"):
        command = [program, "--dry-run", *ARGUMENTS.get(script.name, [])]
        results.append(subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True))
    assert results[0].returncode == 0, results[0].stderr
    assert (results[1].stdout, results[1].stderr) == (results[0].stdout, "")
    assert len(results[0].stdout) > 3 and list(folder.iterdir()) == [folder / "link"]
