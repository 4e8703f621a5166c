"""gluon-ssd mlperf-check: which rules a log is held against, and what is said of it."""

import json
import sys
import time

import pytest
from small import refused

from gluon_ssd.training.mlperf.check_log import _findings, check_log, detect_rules

OURS = {"submission_benchmark": "ssd", "ruleset": "3.1.0"}
RETINANET = {"submission_benchmark": "ssd", "opt_learning_rate_warmup_epochs": 1}


@pytest.fixture
def write(tmp_path):
    """A log of these keys and values, one line each; returns its path."""

    def log(values, name="mlperf.log"):
        lines = ["Beginning trial 1 of 5", ":::MLLOG {broken"]
        for key, value in values.items():
            entry = {"namespace": "", "time_ms": int(time.time() * 1000), "event_type": "POINT_IN_TIME"}
            lines.append(":::MLLOG " + json.dumps({**entry, "key": key, "value": value, "metadata": {}}))
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return log


@pytest.fixture
def checker():
    return pytest.importorskip("mlperf_logging", reason='needs pip install "gluon_ssd[mlperf]"')


@pytest.mark.parametrize(
    ("values", "version"),
    [
        (OURS, "3.1.0"),
        ({"submission_benchmark": "ssd", "max_samples": 1, "model_bn_span": 114}, "1.1.0"),
        ({"submission_benchmark": "ssd", "ruleset": "0.6.0"}, "1.1.0"),
        ({**RETINANET, "weights_initialization": None}, "2.1.0"),
        (RETINANET, "4.1.0"),
        ({"submission_benchmark": "retinanet"}, "5.1.0"),
    ],
)
def test_the_rules_are_found_in_the_log(tmp_path, values, version):
    assert detect_rules(tmp_path, [{"key": key, "value": value} for key, value in values.items()]) == version


def test_a_log_of_another_benchmark(cli, write):
    other = cli("mlperf-check", write({"submission_benchmark": "bert"}))
    refused(other, "mlperf.log: is of benchmark 'bert'")
    refused(cli("mlperf-check", write({"seed": 1})), "names no benchmark", "--rules")


def test_what_is_no_log(cli, tmp_path):
    refused(cli("mlperf-check", "nothing.log"), "nothing.log: cannot be read: No such file")
    (tmp_path / "train.log").write_text("epoch 1\n")
    refused(cli("mlperf-check", "train.log"), "train.log: has no line of an MLPerf log", "--mlperf-log")


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ({"key": ["a"], "value": 1}, "1.1.0"),
        ({"key": "ruleset", "value": ["3.1.0"]}, "1.1.0"),
        ({"key": "ruleset", "value": {}}, "1.1.0"),
        ({}, "1.1.0"),
    ],
)
def test_lines_that_no_logger_writes_are_the_checkers_to_object_to(tmp_path, line, version):
    benchmark = {"key": "submission_benchmark", "value": "ssd"}
    assert detect_rules(tmp_path, [benchmark, line]) == version


def test_rules_there_are_not(cli, write):
    refused(cli("mlperf-check", write(OURS), "--rules", "1.1"), "'1.1'; did you mean 1.1.0")


def test_without_the_package_the_error_names_the_extra(cli, write, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlperf_logging", None)
    refused(cli("mlperf-check", write(OURS)), 'pip install "gluon_ssd[mlperf]"')


def test_a_log_that_lacks_nearly_everything(cli, write, checker):
    write({"submission_benchmark": "ssd", "submission_division": "closed", "max_samples": 3})
    result = cli("mlperf-check", ".")
    assert (result.status, result.err) == (1, "")
    lines = result.out.splitlines()
    assert lines[-1] == "mlperf.log does not comply with the rules of MLPerf Training 1.1.0"
    findings = [line.split(". ", 1)[1] for line in lines[:-1]]
    assert "Required EXACTLY_ONE occurrence of 'run_stop' but found 0" in findings
    assert "CHECK for 'max_samples' failed in line 3: failed test: v['value'] in [1, 50]" in findings
    assert findings[0].startswith("a line cannot be parsed: Expecting property name")
    assert all(0 < len(text) <= 200 for text in findings)
    assert len(cli("mlperf-check", ".", "--verbose").out) > len(result.out)


def test_a_checker_that_breaks_off_is_no_success(write, checker):
    # There are no rules for this benchmark in 5.1, whose file the checker then opens all the same.
    log = write({"submission_benchmark": "ssd", "submission_division": "closed"})
    verdict = check_log(log, "5.1.0")
    assert not verdict.passed
    assert any("the checker broke off: FileNotFoundError" in text for text in verdict.findings)


def test_the_log_of_a_run_folder_is_meant_by_its_folder(write, checker, tmp_path):
    log = write(OURS)
    verdict = check_log(tmp_path)
    assert (verdict.log, verdict.rules, verdict.passed) == (log, "3.1.0", False)


def test_findings_are_parted_and_shortened():
    rule = "-" * 30
    output = (
        "INFO -  Compliance checks: training_1.1.0/common.yaml\n"
        f"WARNING -  Required EXACTLY_ONE occurrence of 'seed' but found 0\n{rule}\n"
        "CHECK for 'max_samples' failed in line 3:\n:::MLLOG {...}\nfailed test: v['value'] in [1, 50]\n"
        f'current context[s]={{\n "a": 1\n}}\ncurrent line[v]={{"value": 3}}\n{rule}\n'
        f"failed test: {'x' * 300}\n"
        "current context[s]={}\nERROR - FAILED\n"
    )
    assert _findings(output) == [
        "Required EXACTLY_ONE occurrence of 'seed' but found 0",
        "CHECK for 'max_samples' failed in line 3: failed test: v['value'] in [1, 50]",
        "failed test: " + "x" * 184 + "...",
    ]
    assert _findings("INFO - SUCCESS\n") == []
