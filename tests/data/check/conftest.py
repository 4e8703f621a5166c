"""Running ``gluon-ssd check`` and reading what it found."""

import json

import pytest


def _short(root, item):
    """Without the image folders of `sound` in front of its names."""
    return item.replace(f"{root}/train/", "").replace(f"{root}/val/", "")


@pytest.fixture
def check(whole_check, monkeypatch):
    """`whole_check` without the pictures, which take most of its time."""
    monkeypatch.setattr("gluon_ssd.report.data_check._write_pictures", lambda *arguments: [])
    return whole_check


@pytest.fixture
def whole_check(cli, tmp_path):
    """Run the check; returns its outcome and the findings by (split, what), as (level, count, items)."""

    def run(root, *arguments):
        outcome = cli("check", root, "--model", "ssd_tiny", "--output", "report", *arguments)
        assert outcome.status in (0, 1), outcome
        content = json.loads((tmp_path / "report" / "findings.json").read_text())
        assert content["harmful"] == (outcome.status == 1)
        found = {
            (f["split"], f["what"]): (f["level"], f["count"], [_short(root, item) for item in f["items"]])
            for f in content["findings"]
        }
        assert len(found) == len(content["findings"])
        return outcome, found

    return run
