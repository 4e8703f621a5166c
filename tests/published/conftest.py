"""What the tests of scripts/train share."""

import os
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent.parent / "scripts" / "train"
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
