"""The harness of the benchmarks: ratios by hand, and the document that is made from them."""

import importlib
import sys

import pytest
from places import REPOSITORY


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    module = importlib.import_module("run")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results" / "ratios.csv")
    monkeypatch.setattr(module, "DOCUMENT", tmp_path / "benchmarks.md")
    module.DOCUMENT.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    yield module
    for name in ("run", "peers"):
        sys.modules.pop(name, None)


def test_a_ratio_is_the_median_over_pairs(run):
    found = run.row("training", "a step", "GluonCV", "s", [(1.0, 2.0), (2.0, 2.0), (1.0, 4.0)], "cpu")
    numbers = [found[key] for key in ("ours", "theirs", "ratio", "lowest", "highest")]
    assert numbers == ["1", "2", "2", "1", "4"]


def test_a_group_replaces_its_own_rows_and_the_document_follows(run):
    def rows(group, ours):
        found = run.row(group, f"what of {group}", "peer", "s", [(ours, 6.0)], "wall")
        return [{**found, "machine": f"machine of {group}"}]

    run.write(rows("scoring", 1.0))
    run.write(rows("training", 2.0))
    run.write(rows("scoring", 3.0))
    lines = run.DOCUMENT.read_text().splitlines()
    assert lines[:2] == ["before", "<!-- results -->"] and lines[-2:] == ["<!-- /results -->", "after"]
    assert "| what of training | peer | 2 s | 6 s | 3 | 3 to 3 | wall |" in lines
    assert "| what of scoring | peer | 3 s | 6 s | 2 | 2 to 2 | wall |" in lines
    assert "- training: machine of training" in lines
    assert run.RESULTS.read_text().count("\n") == 3


def test_a_peer_that_is_not_installed_is_left_out(run, monkeypatch):
    monkeypatch.setitem(run.MODULES, "GluonCV", "no_such.package")
    assert not run.installed("GluonCV") and run.installed("pycocotools")
