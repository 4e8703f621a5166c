"""scripts/train, three steps on a CPU: a few with a small network; all, with their own, by `make smoke`."""

import json
import os
import shlex
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FOLDER = REPOSITORY / "scripts" / "train"
ALL = bool(os.environ.get("GLUON_SSD_SMOKE_ALL"))
TINY = "--model ssd_tiny"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*_*gpu_*.sh")) + sorted(
    path.name for path in FOLDER.glob("*_*x*x*.sh")
)
CONFIGS = sorted(path.name for path in (FOLDER / "configs").glob("config_*.sh"))
every = pytest.mark.skipif(not ALL, reason="takes long; make smoke runs it")


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
        done = shell(
            line, PATH=path, PYTHONPATH=str(REPOSITORY), RESULTS="out", RESULTS_DIR="out", **environment
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done

    return call


@pytest.fixture
def data(request):
    """The data set: real images for the whole set of scripts, made ones for the few."""
    return request.getfixturevalue("coco128" if ALL else "shapes")


def trained(folder):
    """The recipe of the one run under ``folder``, which took three steps and was scored."""
    from gluon_ssd.engine.checkpoint import read_checkpoint

    (run,) = Path(folder).iterdir()
    assert read_checkpoint(run / "checkpoints" / "last.ckpt").progress.step == 3
    assert json.loads((run / "val" / "scores.json").read_text())["images"] > 0
    return yaml.safe_load((run / "recipe.yaml").read_text())


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


@every
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script(run, data, tmp_path, script, processes):
    if processes > 1:
        pytest.importorskip("horovod")
    run(f'"$TRAIN/{script}" --smoke --gpus {processes} --data {data}')
    trained(tmp_path / "out")


@every
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("config", CONFIGS)
def test_every_configuration(run, data, tmp_path, config, processes):
    if processes > 1:
        pytest.importorskip("horovod")
    line = f'source "$TRAIN/configs/{config}"; "$TRAIN/run_and_time.sh" --smoke --gpus {processes}'
    run(line, DATASET_DIR=str(data))
    trained(tmp_path / "out")
