"""The commands of docs/mlperf-log.md run as they stand, and the log has the lines that the page explains."""

import json
import re
import shlex

import pytest
from pages import blocks
from places import REPOSITORY

PAGE = "docs/mlperf-log.md"
# Of the machine, not of the settings.
VOLATILE = {"submission_platform"}


def commands():
    text = "".join(blocks(PAGE, "sh")).replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("gluon-ssd ")]


def explained():
    """The rows of the page's tables: key, and what stands beside it."""
    text = (REPOSITORY / PAGE).read_text(encoding="utf-8")
    return re.findall(r"^\| `(\w+)` \| (.+?) \|", text, re.M)


@pytest.mark.once
def test_the_log_is_explained_line_by_line(cli, tmp_path):
    pytest.importorskip("mlperf_logging", reason='needs: pip install "gluon_ssd[mlperf]"')
    demo, train, check = commands()
    for arguments in (demo, train):
        outcome = cli(*arguments)
        assert (outcome.status, outcome.err) == (0, ""), outcome
    lines = (tmp_path / "runs/mlperf/mlperf.log").read_text().splitlines()
    log = [json.loads(line.split(":::MLLOG ")[1]) for line in lines]
    tensors = [entry for entry in log if entry["key"] == "weights_initialization"]
    text = (REPOSITORY / PAGE).read_text(encoding="utf-8")
    assert f"each of the {len(tensors)} trained tensors" in text
    shown = [entry for entry in log if entry not in tensors[1:]]
    assert [entry["key"] for entry in shown] == [key for key, _ in explained()]
    for entry, (key, beside) in zip(shown, explained()):
        value = re.fullmatch(r"`(.*)`", beside)
        if value and key not in VOLATILE:
            assert json.loads(value[1]) == entry["value"], key
    assert shown[-1]["metadata"]["status"] == "aborted"
    verdict = cli(*check)
    assert (verdict.status, verdict.out) == (1, blocks(PAGE, "text")[-1])
