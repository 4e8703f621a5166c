"""scripts/train: what each script and configuration runs, read from its dry run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dry_run import of_config, recipe_of, split, words
from places import REPOSITORY

from gluon_ssd.published import translate

FOLDER = REPOSITORY / "scripts" / "train"
CONFIGS = sorted((FOLDER / "configs").glob("config_*.sh"))
SHARED = {"common.sh", "start.sh", "settings.sh", "bind.sh", "run_and_time.sh", "run_with_docker.sh"}
SCRIPTS = sorted(path for path in FOLDER.glob("*.sh") if path.name not in SHARED)
TRAINING = [path for path in SCRIPTS if path.name != "ssd_resnet50_infer.sh"]
RESNET34 = "/datasets/backbones/resnet34-333f7ec4.pickle"


@pytest.mark.once
@pytest.mark.parametrize(
    "script",
    [*SCRIPTS, *CONFIGS, FOLDER / "run.sub", *(FOLDER / name for name in SHARED)],
    ids=lambda p: p.name,
)
def test_syntax(script):
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    checker = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if checker:
        done = subprocess.run([checker, "-x", "-P", REPOSITORY, script], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    "name", [*(path.name for path in SCRIPTS), "run.sub", "run_and_time.sh", "run_with_docker.sh", "bind.sh"]
)
def test_help(shell, name):
    done = shell(f'"$TRAIN/{name}" --help')
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ") and name in done.stdout


# Script, launcher, and the recipe's keys that the published configuration decides.
PUBLISHED = {
    "ssd_resnet34_1gpu_amp": (1, {"precision": "amp", "batch_size": 32, "lr": 0.0025, "layout": "NCHW"}),
    "ssd_resnet34_1gpu_fp16": (1, {"precision": "fp16", "layout": "NHWC", "loss_scale": 128}),
    "ssd_resnet34_8gpu_amp": (8, {"precision": "amp", "weight_decay": 5e-4, "decay_epochs": (44, 55)}),
    "ssd_resnet34_8gpu_fp16": (8, {"precision": "fp16", "layout": "NHWC", "bn_group": 1}),
    "ssd_resnet34_8gpu_fp16_bn_group": (8, {"batch_size": 8, "bn_group": 4, "layout": "NHWC"}),
    "ssd_resnet34_16gpu_amp": (16, {"precision": "amp", "batch_size": 32}),
    "ssd_resnet34_16gpu_fp16": (16, {"precision": "fp16", "layout": "NHWC"}),
    "ssd_resnet34_16gpu_fp16_bn_group": (16, {"batch_size": 8, "bn_group": 4}),
    "ssd_resnet34_dgxa100_1x8x114": (8, {"warmup_epochs": 5, "dali_workers": 8, "eval_batch_size": 114}),
    "ssd_resnet34_dgxa100_1x4x228": (4, {"batch_size": 228, "warmup_epochs": 5}),
    "ssd_resnet34_fujitsu_pg_1x4x114": (4, {"warmup_epochs": 3, "dali_workers": 4}),
    "ssd_resnet34_dgxa100_8x8x24x2": (
        64,
        {"batch_size": 24, "bn_group": 2, "epochs": 70, "warmup_epochs": 15},
    ),
    "ssd_resnet34_dgxa100_128x8x3x8": (1024, {"batch_size": 3, "bn_group": 8, "input_batch_multiplier": 20}),
    "ssd_resnet50_4gpu_fp32_65epochs": (4, {"precision": "fp32", "batch_size": 32, "warmup_steps": 300}),
    "ssd_resnet50_4gpu_amp_65epochs": (4, {"precision": "amp", "batch_size": 32, "layout": "NCHW"}),
    "ssd_resnet50_8gpu_dali_fp16": (8, {"precision": "amp", "batch_size": 64, "data_pipeline": "dali"}),
    "retinanet_1x8x32": (8, {"batch_size": 32, "lr": 0.000085, "warmup_epochs": 0}),
    "retinanet_2x8x16": (16, {"batch_size": 16, "lr": 0.0001, "warmup_epochs": 1}),
    "retinanet_8x8x8": (64, {"batch_size": 8, "lr": 0.0001, "warmup_start": 0.001}),
    "retinanet_8x8x4": (64, {"batch_size": 4, "compression": "fp16", "async_val": True}),
    "retinanet_160x8x1": (1280, {"batch_size": 1, "lr": 0.00012, "epochs": 35}),
    "retinanet_316x8x1": (2528, {"batch_size": 1, "lr": 0.000135, "hw_decoder_load": 0.99, "epochs": 12}),
}
DGXA100 = {
    "batch_size": 114,
    "lr": 0.003157,
    "weight_decay": 1.3e-4,
    "input_jpg_decode": "cache",
    "epochs": 65,
}
FAMILIES = {
    "ssd_resnet34_1gpu": {"model": "ssd_resnet34", "epochs": 65, "target_map": 0.23},
    "ssd_resnet34_dgxa100_1x8x114": DGXA100,
    "ssd_resnet34_dgxa100_1x4": {**DGXA100, "batch_size": 228},
    "ssd_resnet34_fujitsu": DGXA100,
    "ssd_resnet34_dgxa100_8x8": {"lr": 0.004, "weight_decay": 1.7e-4, "decay_epochs": (48, 60)},
    "ssd_resnet34_dgxa100_128": {
        "lr": 0.004,
        "weight_decay": 4e-5,
        "decay_epochs": (68, 85),
        "warmup_epochs": 35,
    },
    "ssd_resnet34_dgxa100": {
        "precision": "fp16",
        "layout": "NHWC",
        "data_pipeline": "dali",
        "async_val": True,
    },
    "ssd_resnet50": {"lr": 2.6e-3, "decay_epochs": (43, 54), "decay_on": "weights", "epochs": 65},
    "retinanet": {
        "model": "retinanet_resnext50_32x4d",
        "optimizer": "adam",
        "weight_decay": 0,
        "target_map": 0.34,
    },
}


def test_the_list_of_scripts_is_complete():
    assert {path.stem for path in TRAINING} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_script_runs_the_published_configuration(shell, name):
    processes, wanted = PUBLISHED[name]
    launcher, arguments = split(words(shell(f'"$TRAIN/{name}.sh" --dry-run')))
    recipe = recipe_of(arguments)
    for family, values in FAMILIES.items():
        wanted = {**values, **wanted} if name.startswith(family) else wanted
    assert {key: getattr(recipe, key) for key in wanted} == wanted
    retinanet = name.startswith("retinanet")
    assert recipe.data == ("/datasets/open-images-v6" if retinanet else "/datasets/coco2017")
    assert recipe.output == f"/results/{name}" and recipe.pretrained_backbone.startswith(
        "/datasets/backbones/"
    )
    assert "resnet34" not in name or recipe.pretrained_backbone == RESNET34
    counts = [word for word in launcher if word == str(processes) or word == f"--ntasks={processes}"]
    assert launcher == [] if processes == 1 else len(counts) == 1, launcher
    multi_node = name.split("_")[-1].split("x")[0] in ("2", "8", "128", "160", "316")
    assert launcher[:1] == ([] if processes == 1 else ["srun" if multi_node else "horovodrun"])


def test_environment_and_flags_replace_the_defaults(shell):
    script = '"$TRAIN/ssd_resnet34_8gpu_fp16.sh" --dry-run'
    values = {"DATADIR": "/d", "BACKBONE": "/b", "RESULTS": "/r", "GPUS": "2", "LAUNCHER": "mpirun"}
    launcher, arguments = split(words(shell(script, **values)))
    recipe = recipe_of(arguments)
    assert launcher[:3] == ["mpirun", "-np", "2"]
    assert (recipe.data, recipe.pretrained_backbone) == ("/d", "/b")
    assert recipe.output == "/r/ssd_resnet34_8gpu_fp16"
    flags = " --data '/my data' --pretrained-backbone=none --output o --gpus 1 --lr 0.1 --bn-group 1"
    launcher, arguments = split(words(shell(f"{script} {flags}", **{**values, "LAUNCHER": ""})))
    recipe = recipe_of(arguments)
    assert launcher == [] and (recipe.data, recipe.output, recipe.lr) == ("/my data", "o", 0.1)
    assert recipe.pretrained_backbone is None


def test_several_hosts_and_tasks_of_slurm(shell):
    script = '"$TRAIN/retinanet_2x8x16.sh"'
    done = shell(script)
    assert done.returncode == 2 and done.stderr.startswith(
        "error: 2 hosts: run it in a Slurm job, or name them: "
    )
    launcher, _ = split(words(shell(script + " --dry-run", HOSTS="a:8,b:8")))
    assert launcher == ["horovodrun", "-np", "16", "-H", "a:8,b:8"]
    launcher, _ = split(
        words(shell(script + " --dry-run", SLURM_JOB_ID="7", SLURM_NTASKS="16", SLURM_PROCID="0"))
    )
    assert launcher[:4] == ["srun", "--nodes=2", "--ntasks=16", "--ntasks-per-node=8"]
    launcher, _ = split(words(shell(script + " --dry-run", SLURM_JOB_ID="7", SLURM_STEP_NUM_TASKS="16")))
    assert launcher == []


def test_inference_script(shell):
    script = '"$TRAIN/ssd_resnet50_infer.sh" --dry-run --checkpoint runs/a'
    program, arguments = split(words(shell(script)), "gluon_ssd.main")
    assert program == ["python", "-m"]
    line = translate(arguments[2:], arguments[1]).line
    assert line == "gluon-ssd val runs/a --batch-size 32 --data /datasets/coco2017 --precision fp32"
    _, arguments = split(words(shell(f"{script} --bs 64 --input_data_type float16")), "gluon_ssd.main")
    line = translate(arguments[2:], arguments[1]).line
    assert line == "gluon-ssd val runs/a --batch-size 64 --data /datasets/coco2017 --precision fp16"
    done = shell('"$TRAIN/ssd_resnet50_infer.sh"', RESULTS="/nowhere")
    assert done.returncode == 2 and done.stderr == "error: no run in /nowhere; give one: --checkpoint FILE\n"


# Configuration, processes on a host, hosts, and what its published options mean here.
CONFIGURED = {
    "DGXA100_1x8x114": (8, 1, {**DGXA100, "warmup_epochs": 5, "dali_workers": 8, "eval_batch_size": 114}),
    "DGXA100_1x4x228": (4, 1, {**DGXA100, "batch_size": 228, "warmup_epochs": 5}),
    "DGXA100_multi_8x8x24x2": (
        8,
        8,
        {"batch_size": 24, "lr": 0.004, "bn_group": 2, "decay_epochs": (48, 60)},
    ),
    "DGXA100_multi_128x8x3x8": (8, 128, {"batch_size": 3, "lr": 0.004, "bn_group": 8, "eval_batch_size": 5}),
    "PG": (4, 1, {**DGXA100, "warmup_epochs": 3, "dali_workers": 4}),
    "DGXA100_001x08x032": (
        8,
        1,
        {"batch_size": 32, "lr": 0.000085, "warmup_epochs": 0, "compression": "fp16"},
    ),
    "DGXA100_002x08x016": (8, 2, {"batch_size": 16, "lr": 0.0001, "warmup_epochs": 1}),
    "DGXA100_008x08x008": (8, 8, {"batch_size": 8, "lr": 0.0001, "warmup_epochs": 1}),
    "DGXA100_008x08x004": (8, 8, {"batch_size": 4, "lr": 0.0001, "data_pipeline": "dali", "async_val": True}),
    "DGXA100_160x08x001": (8, 160, {"batch_size": 1, "lr": 0.00012, "epochs": 35}),
    "DGXH100_316x08x001": (8, 316, {"batch_size": 1, "lr": 0.000135, "eval_batch_size": 8, "workers": 32}),
}


def test_the_list_of_configurations_is_complete():
    assert {path.stem for path in CONFIGS} == {f"config_{name}" for name in CONFIGURED}


@pytest.mark.parametrize("name", CONFIGURED)
def test_configuration_is_the_published_one(shell, name):
    gpus, nodes, wanted = CONFIGURED[name]
    launcher, recipe = of_config(shell, name)
    assert {key: getattr(recipe, key) for key in wanted} == wanted
    assert recipe.layout == "NHWC" and recipe.mlperf_log and recipe.precision in ("fp16", "amp")
    assert launcher[: 3 * (nodes == 1)] == (["horovodrun", "-np", str(gpus)] if nodes == 1 else [])
    names = (
        "$NODES $GPUS_PER_NODE ${DGXNNODES:-$PGNNODES} ${DGXNGPU:-$PGNGPU} ${DGXSYSTEM:-$PGSYSTEM} $WALLTIME"
    )
    done = shell(f'source "$TRAIN/configs/config_{name}.sh"; echo "{names} $WALLTIME_MINUTES"', NEXP="3")
    *values, walltime, minutes = done.stdout.split()
    assert values == [str(nodes), str(gpus), str(nodes), str(gpus), name]
    assert int(walltime) == 3 * int(minutes) > 0


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("ssd_resnet34_dgxa100_1x8x114", "DGXA100_1x8x114"),
        ("ssd_resnet34_dgxa100_1x4x228", "DGXA100_1x4x228"),
        ("ssd_resnet34_dgxa100_8x8x24x2", "DGXA100_multi_8x8x24x2"),
        ("ssd_resnet34_dgxa100_128x8x3x8", "DGXA100_multi_128x8x3x8"),
        ("ssd_resnet34_fujitsu_pg_1x4x114", "PG"),
        ("retinanet_1x8x32", "DGXA100_001x08x032"),
        ("retinanet_2x8x16", "DGXA100_002x08x016"),
        ("retinanet_8x8x8", "DGXA100_008x08x008"),
        ("retinanet_8x8x4", "DGXA100_008x08x004"),
        ("retinanet_160x8x1", "DGXA100_160x08x001"),
        ("retinanet_316x8x1", "DGXH100_316x08x001"),
    ],
)
def test_a_script_and_the_configuration_of_the_same_name_agree(shell, script, name):
    ours = recipe_of(split(words(shell(f'"$TRAIN/{script}.sh" --dry-run')))[1])
    _, published = of_config(shell, name)
    for key in (
        "model",
        "epochs",
        "batch_size",
        "lr",
        "weight_decay",
        "decay_epochs",
        "decay_factor",
        "warmup_epochs",
        "warmup_steps",
        "warmup_start",
        "warmup_factor",
        "accumulate",
        "bn_group",
    ):
        assert getattr(ours, key) == getattr(published, key), key
    assert (ours.precision, ours.layout, ours.optimizer) == (published.precision, "NHWC", published.optimizer)
    assert ours.effective_lr(8) == pytest.approx(published.effective_lr(8))
