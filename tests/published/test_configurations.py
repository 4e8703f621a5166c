"""Configurations of MLPerf submissions, v1.0 to v5.1, through run_and_time.sh to the recipe they mean.

tests/vectors/published_configurations.json holds them as facts: submission, file, the variables that it
exports, and the recipe's keys that these decide.
"""

from __future__ import annotations

import json
import shlex

import pytest
from dry_run import of_command, recipe_of, translated
from places import VECTORS

from gluon_ssd.published import translate

FILE = VECTORS / "published_configurations.json"
ROWS = json.loads(FILE.read_text())


def test_the_table_covers_both_benchmarks_and_all_rounds():
    assert len(ROWS) >= 60
    assert sum("LR" in row["variables"] for row in ROWS) >= 30
    rounds = {row["version"] for row in ROWS}
    assert rounds >= {"v1.0", "v1.1", "v2.0", "v2.1", "v3.0", "v3.1", "v4.0", "v4.1", "v5.0", "v5.1"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "{version}-{submitter}-{file}".format(**row))
def test_configuration_means_the_same_run(shell, row):
    command = '"$TRAIN/run_and_time.sh" --dry-run'
    done = shell(command, DATADIR="/data", BACKBONE_DIR="/cache", BIND="off", **row["variables"])
    launcher, arguments = of_command(done)
    recipe = recipe_of(translated(arguments))
    found = {key: getattr(recipe, key) for key in row["recipe"]}
    assert found == {key: tuple(v) if isinstance(v, list) else v for key, v in row["recipe"].items()}
    retinanet = recipe.model.startswith("retinanet")
    inside = row["variables"].get("DATASET_DIR")
    assert recipe.data == (inside or ("/data" if retinanet else "/data/coco2017"))
    weights = "hub/checkpoints/resnext50_32x4d-7cdf4587.pth" if retinanet else "resnet34-333f7ec4.pickle"
    assert recipe.pretrained_backbone == f"/cache/{weights}" and recipe.mlperf_log
    # Several hosts are started by run.sub; a dry run shows what each of its tasks does.
    hosts = int(row["variables"].get("DGXNNODES", row["variables"].get("PGNNODES", 1)))
    if hosts == 1 and row["processes"] > 1:
        assert launcher[:3] == ["horovodrun", "-np", str(row["processes"])]


# Whose, the command line as its README or its scripts have it, and what it is here.
COMMANDS = [
    ("dle", "--backbone resnet50 --warmup 300 --bs 256 --data D", {"batch_size": 256}),
    (
        "dle",
        "--backbone resnet50 --learning-rate 2.7e-3 --warmup 1200 --bs 256 --data D",
        {"lr": 2.7e-3, "warmup_steps": 1200, "precision": "amp", "layout": "NHWC", "batch_size": 256},
    ),
    (
        "dle",
        "--backbone resnet50 --learning-rate 2.7e-3 --warmup 1200 --bs 128 --no-amp --data D",
        {"precision": "fp32", "batch_size": 128, "dynamic_loss_scale": False, "layout": "NHWC"},
    ),
    ("dle", "--backbone resnet50 --warmup 300 --bs 64 --data D", {"precision": "amp", "batch_size": 64}),
    (
        "dle",
        "--backbone resnet50 --bs 32 --warmup 300 --no-amp --data-layout channels_first --data D",
        {"precision": "fp32", "layout": "NCHW", "eval_epochs": (22, 32, 38, 43, 49, 54, 60, 65)},
    ),
    (
        "sample",
        "--backbone resnet50 --backbone-path r50.pth --bs 32 --warmup 300 --save OUT --data D "
        "--iterations -1 --epochs 65 --pyamp --json-summary OUT/train.json",
        {"precision": "amp", "dynamic_loss_scale": True, "layout": "NCHW", "batch_size": 32, "epochs": 65},
    ),
    (
        "sample",
        "--backbone resnet50 --backbone-path r50.pth --bs 32 --warmup 300 --save OUT --data D "
        "--iterations -1 --epochs 65 --json-summary OUT/train.json",
        {"precision": "fp32", "save_every": 1, "eval_epochs": (), "pretrained_backbone": "r50.pth"},
    ),
    (
        "sample",
        "--backbone resnet50 --checkpoint e31.pt --backbone-path r50.pth --bs 32 --seed 6503 --epochs 33 "
        "--iterations 2 --device MLU --save ./models --num-workers 12 --data D --warmup 32 --cnmix "
        "--opt_level O1",
        {"seed": 6503, "limit_train": 64, "weights": "e31.pt", "workers": 12, "device": "gpu"},
    ),
    (
        "dali",
        "--warmup 300 --bs 64 --fp16 --data /coco/",
        {"precision": "amp", "dynamic_loss_scale": True, "data_pipeline": "dali", "colour": "dali"},
    ),
    ("dali", "--warmup 300 --bs 256 --data D --data_pipeline no_dali", {"data_pipeline": "native"}),
    (
        "ssd_main",
        "--coco-root D --lr-warmup-epoch=5 --lr=0.003157 --weight-decay=1.3e-4 --dali-workers=8 "
        "--input-jpg-decode=cache --batch-size 114 --eval-batch-size 114 --epochs 65 --val-epochs 3 7",
        {"eval_epochs": (3, 5, 7, *range(10, 66, 5)), "dali_workers": 8, "nms_candidates": 200},
    ),
    (
        "ssd_main",
        "--use-tfrecord --tfrecord-root T --precision amp --bn-group 1 --no-fuse-bn-relu --post-nms 100",
        {"precision": "amp", "data": "T", "max_detections": 100},
    ),
    (
        "retinanet",
        "--dataset openimages-mlperf --dataset-path D --batch-size 16 --lr 0.0001 --epochs 6 "
        "--output-dir OUT --eval-batch-size 32 --workers 8 --max-iters-per-epoch 10 "
        "--max-eval-iters-per-epoch 4",
        {"limit_train": 160, "limit_val": 128, "workers": 8, "output": "OUT"},
    ),
    (
        "retinanet",
        "--jit --frozen-bn-opt --master-weights --dali --syn-dataset 2 --cuda-graphs-syn --skip-eval "
        "--lr 1e-4",
        {"data_pipeline": "synthetic", "eval_epochs": ()},
    ),
]


@pytest.mark.parametrize(("system", "line", "keys"), COMMANDS, ids=[f"{row[0]} {row[1]}" for row in COMMANDS])
def test_command_line_means_the_same_run(system, line, keys):
    result = translate(shlex.split(line), None if system != "sample" else system)
    assert result.system.name == system
    recipe = recipe_of(list(result.arguments))
    assert {key: getattr(recipe, key) for key in keys} == keys


def test_a_configuration_that_tells_no_benchmark_is_refused(shell):
    done = shell('"$TRAIN/run_and_time.sh" --dry-run', BATCHSIZE="228", NUMEPOCHS="65")
    assert done.returncode == 2 and "set BENCHMARK=ssd" in done.stderr and done.stderr.count("\n") == 1
