"""mlperf.log: what is in it, in which order, and how a run ends."""

import json
import sys
from pathlib import Path

import pytest
from golden import FOLDER

from gluon_ssd.data.preprocess import Preprocess
from gluon_ssd.data.transforms import crop_attempts, training_transform
from gluon_ssd.errors import UserError
from gluon_ssd.model_zoo.registry import model_outline
from gluon_ssd.recipe import Recipe, load_recipe
from gluon_ssd.training import checkpoints, evaluator
from gluon_ssd.training.build import make_schedule
from gluon_ssd.training.callbacks import RunInfo, console, metrics
from gluon_ssd.training.mlperf.log import MlperfLog, callbacks_of, settings, submission_fields
from gluon_ssd.training.mlperf.rules import find_rules, rules_for
from gluon_ssd.training.train import run_training

RETINANET = {"model": "retinanet_resnext50_32x4d", "optimizer": "adam", "warmup_start": 0.001}


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("ORG", "PLATFORM", "STATUS", "DIVISION", "POC_NAME", "POC_EMAIL"):
        monkeypatch.delenv(f"MLPERF_SUBMISSION_{name}", raising=False)
    monkeypatch.delenv("MLPERF_CACHE_CLEARED", raising=False)


@pytest.fixture
def logged(shapes, tmp_path, monkeypatch):
    """Train ssd_tiny in the open division, with evaluations that give these mAPs; the entries of its log."""
    pytest.importorskip("mlperf_logging", reason='needs pip install "gluon_ssd[mlperf]"')
    monkeypatch.setenv("MLPERF_SUBMISSION_DIVISION", "open")

    class Evaluation:
        def __init__(self, value):
            self.scores, self.best = self, None
            self.map, self.images, self.stats = value, 2, {"ap50": value}

    monkeypatch.setattr(evaluator, "write_evaluation", lambda *args: None)
    monkeypatch.setattr(console, "score_table", lambda scores: "")
    monkeypatch.setattr(metrics, "plot_metrics", lambda *args: None)

    def run(*scores, **changes):
        given = list(scores)
        monkeypatch.setattr(evaluator, "evaluate", lambda *args, **kwargs: Evaluation(given.pop(0)))
        output = tmp_path / changes.pop("output", "run")
        common = {"data": str(shapes), "output": str(output), "batch_size": 4, "max_steps": None}
        asked = {"epochs": 2, "eval_every": 1, "target_map": 0.4, "mlperf_log": True}
        run_training(load_recipe("ssd_tiny/smoke", {**common, **asked, **changes}), quiet=True)
        assert not given
        lines = (output / "mlperf.log").read_text().splitlines()
        return [json.loads(line.split(":::MLLOG ")[1]) for line in lines]

    return run


def keys(entries):
    return [entry["key"] for entry in entries if entry["key"] != "weights_initialization"]


def of(entries, key):
    return [entry for entry in entries if entry["key"] == key]


def after_start(entries):
    names = keys(entries)
    told = ("tracked_stats", "throughput")
    return [name for name in names[names.index("run_start") :] if name not in told]


EPOCH = ["block_start", "epoch_start", "epoch_stop", "block_stop", "eval_start", "eval_stop", "eval_accuracy"]


def test_the_order_of_a_log(logged):
    entries = logged(0.1, 0.5)
    names = keys(entries)
    assert names[: names.index("seed")] == [
        "submission_benchmark",
        "submission_org",
        "submission_division",
        "submission_status",
        "submission_platform",
        "ruleset",
        "cache_clear",
        "init_start",
    ]
    assert names[names.index("run_start") - 1] == "init_stop"
    assert after_start(entries) == ["run_start", *EPOCH, *EPOCH, "run_stop"]
    times = [entry["time_ms"] for entry in entries]
    assert times == sorted(times)


def test_success_stops_at_once(logged):
    entries = logged(0.5, epochs=4)
    assert after_start(entries) == ["run_start", *EPOCH, "run_stop"]
    assert of(entries, "run_stop")[0]["metadata"]["status"] == "success"
    assert of(entries, "eval_accuracy")[0]["value"] == 0.5


def test_the_clock_stops_before_checkpoints_are_written(logged, monkeypatch, tmp_path):
    seen = []

    def save(path, *rest):
        seen.append("run_stop" in (tmp_path / "run/mlperf.log").read_text())

    monkeypatch.setattr(checkpoints, "save_checkpoint", save)
    logged(0.5)
    # Once for the epoch, then best and last of the evaluation.
    assert seen == [False, True, True]


@pytest.mark.parametrize("changes", [{}, {"epochs": 9, "max_steps": 3}])
def test_a_run_that_ends_without_the_target_is_aborted(logged, changes):
    entries = logged(0.1, 0.2, **changes)
    assert of(entries, "run_stop")[0]["metadata"]["status"] == "aborted"
    assert keys(entries)[-1] == "run_stop"


def test_blocks_are_the_epochs_up_to_an_evaluation(logged):
    entries = logged(0.1, 0.2, epochs=4, eval_every=3)
    blocks = [entry["metadata"] for entry in of(entries, "block_start")]
    assert [(block["first_epoch_num"], block["epoch_count"]) for block in blocks] == [(1, 3), (4, 1)]
    assert [entry["metadata"]["first_epoch_num"] for entry in of(entries, "block_stop")] == [1, 4]
    assert [entry["metadata"]["epoch_num"] for entry in of(entries, "eval_accuracy")] == [3, 4]
    assert [entry["metadata"]["epoch_num"] for entry in of(entries, "epoch_stop")] == [1, 2, 3, 4]


def test_samples_are_images_not_batches(logged):
    # Of the first 10 images 8 have objects; batches of 3 leave 2 of them over.
    entries = logged(0.5, limit_train=10, limit_val=3, batch_size=3)
    assert [of(entries, key)[0]["value"] for key in ("train_samples", "eval_samples")] == [8, 3]


def test_a_resumed_run_adds_to_its_log(logged):
    first = logged(0.1, epochs=1)
    second = logged(0.5, epochs=2, resume=True)
    assert second[: len(first)] == first
    assert keys(second[len(first) :])[0] == "block_start"
    statuses = [entry["metadata"]["status"] for entry in of(second, "run_stop")]
    assert statuses == ["aborted", "success"]
    assert logged(epochs=2, resume=True) == second


def test_a_log_cannot_begin_in_the_middle_of_a_run(logged, tmp_path):
    logged(0.1, epochs=1)
    (tmp_path / "run/mlperf.log").unlink()
    with pytest.raises(UserError, match="mlperf.log: not there to add to; mlperf_log must be on from"):
        logged(epochs=2, resume=True)


def test_a_log_of_the_open_division_complies(logged, cli):
    logged(0.1, epochs=1)
    verdict = "run/mlperf.log complies with the rules of MLPerf Training 1.1.0\n"
    assert cli("mlperf-check", "run") == (0, verdict, "")
    # Two ends of one run are not wrong enough for the checker, but it says so.
    logged(0.5, epochs=2, resume=True)
    warning = "1. warning: Required EXACTLY_ONE occurrence of 'run_stop' but found 2\n"
    assert cli("mlperf-check", "run") == (0, warning + verdict, "")


def test_settings_are_those_of_a_published_log(tmp_path):
    # Fujitsu's result_0.txt of MLPerf Training 1.1, PRIMERGY GX2460 M1: 4 GPUs, 114 images each.
    recipe = Recipe(batch_size=114, lr=0.003157, warmup_epochs=3, weight_decay=1.3e-4, seed=1322250688)
    schedule = make_schedule(recipe, 117266, processes=4)
    info = RunInfo(recipe, tmp_path, None, schedule, 117266, 5000, processes=4)
    assert settings(info, find_rules("1.1.0")) == {
        "seed": 1322250688,
        "train_samples": 117266,
        "eval_samples": 5000,
        "global_batch_size": 456,
        "gradient_accumulation_steps": 1,
        "max_samples": 1,
        "model_bn_span": 114,
        "opt_name": "sgd",
        "opt_base_learning_rate": pytest.approx(0.04498725, rel=1e-12),
        "opt_weight_decay": 0.00013,
        "opt_learning_rate_warmup_steps": 771,
        "opt_learning_rate_warmup_factor": 0,
        "opt_learning_rate_decay_boundary_epochs": [44, 55],
        "opt_learning_rate_decay_factor": 0.1,
    }


def test_settings_of_retinanet(tmp_path):
    # Hyper-parameters of MLPerf's reference at a batch of 256.
    values = {**RETINANET, "batch_size": 32, "lr": 1e-4, "weight_decay": 0.0}
    for warmup in ({"warmup_epochs": 1}, {"warmup_steps": 4571}):
        recipe = Recipe(**values, **warmup)
        schedule = make_schedule(recipe, 1170301, processes=8)
        info = RunInfo(recipe, tmp_path, None, schedule, 1170301, 24781, processes=8)
        assert settings(info, find_rules("5.1.0")) == {
            "seed": 0,
            "train_samples": 1170301,
            "eval_samples": 24781,
            "global_batch_size": 256,
            "gradient_accumulation_steps": 1,
            "opt_name": "adam",
            "opt_base_learning_rate": 1e-4,
            "opt_weight_decay": 0,
            "opt_learning_rate_warmup_epochs": pytest.approx(1, abs=2e-4),
            "opt_learning_rate_warmup_factor": 0.001,
        }


def test_batch_norm_span_counts_the_processes_of_a_group(tmp_path):
    recipe = Recipe(batch_size=24, accumulate=2)
    info = RunInfo(recipe, tmp_path, None, make_schedule(recipe, 117266), 117266, 5000, bn_group=2)
    found = settings(info, find_rules("1.1.0"))
    assert (found["model_bn_span"], found["gradient_accumulation_steps"]) == (48, 2)


def test_max_samples_is_what_the_random_crop_tries():
    assert training_transform("ssd", Preprocess()).attempts == crop_attempts("ssd")


@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("ssd_resnet34", "ssd_v1.1_tensor_names.txt"),
        ("retinanet_resnext50_32x4d", "retinanet_v2.0_tensor_names.txt"),
    ],
)
def test_tensors_go_by_the_names_in_the_rules(model, file):
    names = model_outline(model).mlperf_tensors()
    assert sorted(names) == sorted((FOLDER / file).read_text().split())


def test_which_rules_a_model_falls_under():
    found = [
        rules_for(*asked)
        for asked in (("ssd_resnet34",), ("retinanet_resnet50",), ("retinanet_resnet50", "4.1.0"))
    ]
    assert [(rules.version, rules.benchmark, rules.target) for rules in found] == [
        ("1.1.0", "ssd", 0.23),
        ("5.1.0", "retinanet", 0.34),
        ("4.1.0", "ssd", 0.34),
    ]


def test_the_submission_comes_from_the_environment(monkeypatch):
    found = submission_fields("ssd")
    assert list(found.values())[:4] == ["ssd", "unspecified", "closed", "onprem"]
    assert found["submission_platform"]
    for name, value in {"ORG": "we", "PLATFORM": "two cores", "STATUS": "cloud", "POC_NAME": "me"}.items():
        monkeypatch.setenv(f"MLPERF_SUBMISSION_{name}", value)
    assert submission_fields("retinanet") == {
        "submission_benchmark": "retinanet",
        "submission_org": "we",
        "submission_division": "closed",
        "submission_status": "cloud",
        "submission_platform": "two cores",
        "submission_poc_name": "me",
    }


def test_caches_count_as_cleared_only_where_somebody_says_so(logged, monkeypatch):
    assert of(logged(0.5), "cache_clear")[0]["value"] is False
    monkeypatch.setenv("MLPERF_CACHE_CLEARED", "1")
    assert of(logged(0.5, output="other"), "cache_clear")[0]["value"] is True


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_map": None}, "mlperf_log needs the mAP that ends the run: --target-map 0.23"),
        ({"eval_every": 0}, "mlperf_log needs evaluations"),
        ({"warmup_start": 0.0}, "--warmup-start none, and --warmup-factor"),
        ({**RETINANET, "warmup_start": None}, "--warmup-start 0.001"),
        ({"mlperf_rules": "5.1.0"}, "5.1.0 is for retinanet, ssd_resnet34 has 1.0.0, 1.1.0"),
        ({"mlperf_rules": "1.1"}, "unknown version of MLPerf's rules '1.1'; did you mean 1.1.0"),
        ({"model": "ssd_tiny"}, "the closed division trains ssd_resnet34, not ssd_tiny"),
        ({"model": "resnet18"}, "MLPerf has no benchmark for resnet18"),
    ],
)
def test_what_could_not_be_submitted_is_refused_at_the_start(changes, message):
    with pytest.raises(UserError) as caught:
        callbacks_of(Recipe(**{"target_map": 0.2, "mlperf_log": True, **changes}))
    assert message in str(caught.value)


def test_a_division_there_is_not(monkeypatch):
    monkeypatch.setenv("MLPERF_SUBMISSION_DIVISION", "locked")
    with pytest.raises(UserError, match="DIVISION is 'locked'; it must be one of closed, open"):
        callbacks_of(Recipe(target_map=0.2, mlperf_log=True))


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    for name in ("mlperf_logging", "mlperf_logging.mllog"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r'pip install "gluon_ssd\[mlperf\]"'):
        callbacks_of(Recipe(target_map=0.2, mlperf_log=True))


def test_only_the_first_process_writes_and_only_if_asked():
    assert callbacks_of(Recipe(target_map=0.2, mlperf_log=True), rank=1) == callbacks_of(Recipe()) == []


def test_a_full_disk_is_told(monkeypatch):
    pytest.importorskip("mlperf_logging", reason='needs pip install "gluon_ssd[mlperf]"')
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    log = MlperfLog(Recipe(target_map=0.2, mlperf_log=True))
    log._open(Path("/dev/full"), "a")
    with pytest.raises(UserError, match="/dev/full: cannot be written: No space left on device"):
        log._event("seed", 1)
    log.close()
