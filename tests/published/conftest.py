"""What the tests of scripts/train share."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from places import REPOSITORY

FOLDER = REPOSITORY / "scripts" / "train"
# What decides what a script does; a test sets what it wants.
STARTS = ("GLUON_SSD", "MLPERF", "SLURM", "DGX", "PGN", "PGSYSTEM", "HOROVOD", "OMPI")
NAMES = {
    *(
        "BACKBONE",
        "BACKBONE_DIR",
        "BATCHSIZE",
        "BENCHMARK",
        "BIND",
        "CHECKPOINT",
        "CONT",
        "DATADIR",
        "DATESTAMP",
    ),
    *("DRY_RUN", "EVALBATCHSIZE", "EXTRA_PARAMS", "GPUS", "GPUS_PER_NODE", "HOSTS", "LAUNCHER", "LOCAL_RANK"),
    *("LOGDIR", "NEXP", "NODES", "NUMEPOCHS", "OUTPUT", "PRETRAINED_DIR", "RESULTS", "SEED", "SYSTEM"),
}


@pytest.fixture
def shell(tmp_path):
    """Runs a line of bash, where $TRAIN is scripts/train, in an empty folder and a clean environment."""

    def call(line, **environment):
        env = {
            key: value for key, value in os.environ.items() if not key.startswith(STARTS) and key not in NAMES
        }
        env.update(environment, TRAIN=str(FOLDER))
        return subprocess.run(["bash", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True)

    return call


@pytest.fixture
def run(shell, tmp_path):
    """Runs a line of bash where gluon-ssd and python are those of the tests; it must succeed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, module in {
        "gluon-ssd": "-c 'from gluon_ssd.cli import main; raise SystemExit(main())'",
        "python": "",
    }.items():
        text = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n'
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    beside = Path(sys.executable).parent

    def call(line, **environment):
        path = f"{folder}:{beside}:{os.environ['PATH']}"
        common = {"PATH": path, "PYTHONPATH": str(FOLDER.parent.parent)}
        done = shell(line, RESULTS="out", RESULTS_DIR="out", **common, **environment)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done

    return call


def trained(folder):
    """The recipe of the one run under ``folder``, which took three steps and was scored."""
    from gluon_ssd.weights.checkpoint import read_checkpoint

    (run,) = Path(folder).iterdir()
    assert read_checkpoint(run / "checkpoints" / "last.ckpt").progress.step == 3
    assert json.loads((run / "val" / "scores.json").read_text())["images"] > 0
    return yaml.safe_load((run / "recipe.yaml").read_text())
