"""``gluon-ssd benchmark``: every setting is measured, and what cannot be is one line."""

import csv

import pytest
from PIL import Image
from small import refused

from gluon_ssd.benchmark import COLUMNS, Speed, as_markdown
from gluon_ssd.errors import UserError


@pytest.mark.usefixtures("drawn_plots")
def test_a_run_is_timed(cli, small_run, shapes, tmp_path):
    given = ("--runtime", "mxnet", "--batch-size", 1, 3, "--rounds", 2, "--data", shapes)
    done = cli("benchmark", small_run, *given, "--output", "speed.csv", "speed.png")
    assert done.status == 0, done.err
    with (tmp_path / "speed.csv").open() as file:
        rows = list(csv.DictReader(file))
    settings = [(row["runtime"], row["precision"], row["batch"]) for row in rows]
    assert settings == [("mxnet", precision, batch) for precision in ("fp32", "bf16") for batch in "13"]
    for row in rows:
        median, worst = float(row["median_ms"]), float(row["p95_ms"])
        assert 0 < median <= worst and float(row["prepare_ms"]) > 0
        assert float(row["images_per_s"]) == pytest.approx(int(row["batch"]) / median * 1e3, rel=1e-2)
        assert float(row["parameters_m"]) > 1 and float(row["gflop"]) > 0.1 and float(row["map"]) >= 0
        assert 0 < float(row["prepare_share"]) < 1 and float(row["post_share"]) < 1
    assert Image.open(tmp_path / "speed.png").width > 400
    assert f"{small_run}, mxnet bf16, batch 3: " in done.out and done.out.count("\n| ") == 6


def test_a_file_is_timed_without_mxnet(cli, small_run):
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f'{name} is not installed: pip install "gluon_ssd[{name}]"')
    cli("export", small_run, "--format", "onnx", "--output", "a.onnx", "--detections")
    done = cli("benchmark", "a.onnx", "--runtime", "onnxruntime", "--batch-size", 1, "--rounds", 1)
    assert done.status == 0, done.err
    refused(cli("benchmark", "a.onnx", "--runtime", "mxnet"), "a.onnx: mxnet does not run it; use openvino")


def test_models_of_the_zoo_are_timed(cli):
    given = ("--runtime", "openvino", "--precision", "fp32", "--batch-size", 1, "--rounds", 1)
    for name in ("onnx", "openvino"):
        pytest.importorskip(name, reason=f'{name} is not installed: pip install "gluon_ssd[{name}]"')
    done = cli("benchmark", "ssd_tiny", "ssd_tiny", *given)
    assert done.status == 0, done.err
    assert done.out.count("ssd_tiny, openvino fp32, batch 1: ") == 2 and done.out.count("| ssd_tiny") == 2
    refused(cli("benchmark", "ssd_tiny", "--runtime", "onnxruntime", "--precision", "bf16"), "not in bf16")


def test_a_table_lines_up():
    lines = as_markdown([Speed("runs/mine", "mxnet", "fp32", 1, 2.5, 3.0, 400.0, 1.25, 0.3)]).splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == list(COLUMNS)
    assert len({len(line) for line in lines}) == 1 and len(lines) == 3


def test_what_was_measured_is_kept_when_a_later_source_fails(cli, monkeypatch, tmp_path):
    def measure(question):
        if question.source == "b":
            raise UserError("b: broken")
        return [Speed(question.source, question.runtime, "fp32", 1, 2.5, 3.0, 400.0, 1.25, 0.3)]

    monkeypatch.setattr("gluon_ssd.benchmark.measure", measure)
    flags = ("--runtime", "mxnet", "--precision", "fp32", "--output", "new/speed.csv")
    done = cli("benchmark", "a", "b", "c", *flags)
    assert (done.status, done.err) == (2, "error: b: broken\n")
    with (tmp_path / "new/speed.csv").open() as file:
        assert [row["source"] for row in csv.DictReader(file)] == ["a"]
    assert done.out.count("\n| ") == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("none", "mxnet fp32: none: no such checkpoint or run folder"),
        ("none --output speed.txt", "speed.txt: the name of such a file ends in .csv, .md or .png"),
        ("none --batch-size 0", "--batch-size"),
    ],
)
def test_one_line_says_what_is_wrong(cli, tmp_path, flags, message):
    refused(cli("benchmark", *flags.split(), "--runtime", "mxnet"), message)
    assert list(tmp_path.iterdir()) == []
