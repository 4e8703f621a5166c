"""The commands and the code of the tutorials run as they stand, on fewer images and for fewer steps."""

import re
import shlex

import pytest
from pages import blocks, commands
from places import REPOSITORY

LESS = {
    "demo": ("--images", "20"),
    "train": ("--epochs", "1", "--max-steps", "2", "--batch-size", "4"),
}


def follow(cli, page, **less):
    """Does what a page says, in the current folder."""
    for line in commands(page):
        verb, *arguments = shlex.split(line)[1:]
        outcome = cli(verb, *arguments, *{**LESS, **less}.get(verb, ()))
        assert (outcome.status, outcome.err) == (0, ""), (line, outcome)
    exec("\n".join(blocks(page, "python")), {})


@pytest.mark.once
def test_a_first_detector(cli, tmp_path):
    follow(cli, "docs/first-detector.md", demo=("--images", "30", "--epochs", "1"))
    text = (REPOSITORY / "docs/first-detector.md").read_text(encoding="utf-8")
    for promised in ("runs/first/run/val/samples.jpg", "runs/first/run/val/confusion.png", "annotated.jpg"):
        assert (tmp_path / promised).is_file()
        assert promised.split("/")[-1] in text


@pytest.mark.once
def test_from_a_run_to_onnx(cli, capfd):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason='needs: pip install "gluon_ssd[onnx]"')
    follow(cli, "docs/to-onnx.md")
    line = r"^(\d+) detections from the file, (\d+) from the run$"
    printed = re.findall(line, capfd.readouterr().out, re.M)
    assert len(printed) == 3
    assert all(theirs == ours for theirs, ours in printed)


def test_the_commands_of_the_readme_are_those_of_the_guide():
    guide = commands("docs/own-data.md")
    assert commands("README.md") == guide[2:7]
