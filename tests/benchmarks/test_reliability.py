"""The harnesses of reliability see what differs, repeat themselves, and their rows make the page."""

import errno
import importlib
import json
import os
import platform
import random
import shutil
import sys

import numpy as np
import pytest
from places import REPOSITORY

from gluon_ssd.tensor_files.archive import read_archive, write_archive

HOME = REPOSITORY / "benchmarks" / "reliability"


@pytest.fixture
def module(monkeypatch):
    """Imports a module of the harnesses, which import each other by their bare names."""
    monkeypatch.syspath_prepend(str(HOME))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(HOME) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_the_page_is_what_the_script_makes_of_the_results(module):
    results = module("results")
    assert results.PAGE.read_text(encoding="utf-8") == results.page(results.read())


def test_rows_come_back_as_they_were_written(module, monkeypatch, tmp_path):
    results = module("results")
    monkeypatch.setattr(results, "RESULTS", tmp_path / "rows.csv")
    rows = [
        results.Row("kills", "a, b", 3, 1, 'a "note"', 7, 9, "command"),
        results.Row("kills", "a, b", 5, 0, "now", 8),
    ]
    for row in rows:
        results.append(row, tmp_path / "rows.csv")
    assert results.read() == rows
    assert "| a, b | 8 | 3, 1, 7; 5, 0, 8 | now |" in results.page(rows)


def test_a_difference_between_runs_is_seen(module, small_run, tmp_path):
    kills = module("kills")
    run = shutil.copytree(small_run, tmp_path / "run")
    assert list(kills.differences(run, small_run)) == [] == list(kills.damaged(run))
    last = run / "checkpoints" / "last.ckpt"
    arrays, state = read_archive(last)
    name = next(name for name in arrays if name.startswith("optimizer/") and arrays[name].dtype == np.float32)
    changed = arrays[name].copy()
    changed.flat[0] = np.nextafter(changed.flat[0], np.float32(1))
    write_archive(last, {**arrays, name: changed}, state)
    found = list(kills.differences(run, small_run))
    assert found == [f"last.ckpt: 1 of {len(arrays)} arrays differ"]
    last.write_bytes(last.read_bytes()[:-100])
    assert "last.ckpt: not a checkpoint" in next(kills.damaged(run)).replace(str(last), "last.ckpt")


def test_a_mixture_of_old_and_new_files_is_seen(module, tmp_path):
    verbs = module("verbs")
    case = verbs.Case("export", [], ("m.bin", "m-symbol.json"), tmp_path / "case", random.Random(0), ())
    before, after = {"m.bin", "m-symbol.json"}, {"m.bin": b"new", "m-symbol.json": b"new"}
    for new, seen in (((), False), (("m.bin",), True), (("m.bin", "m-symbol.json"), False)):
        place = tmp_path / "place"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name in before:
            (place / name).write_bytes(b"new" if name in new else b"what was there before")
        assert bool(case._mixed(place, after)) == seen, new


def test_the_same_seed_changes_files_in_the_same_way(module):
    mutate = module("mutate")
    data = b'{"a": [1, 2.5, "text"], "b": null}' * 20

    def some(seed):
        return [mutate.mutate(data, [data], random.Random(f"{seed} {n}")) for n in range(40)]

    assert some(1) == some(1) != some(2)
    assert sum(changed != data for changed in some(1)) > 35


def test_one_moment_of_each_kind_comes_first(module):
    writes, call = module("writes"), module("calls").Call
    names = ("write", "write", "fsync", "write", "rename")
    paths = ("a1.bin", "a2.bin", "a1.bin", "b.bin", "b.bin")
    calls = [call(name, path) for name, path in zip(names, paths)]
    assert writes.chosen(calls, 4, random.Random(0)) == [1, 3, 4, 5]
    assert writes.chosen(calls, 9, random.Random(0)) == [1, 2, 3, 4, 5]


def test_files_that_are_not_whole_are_seen(module, tmp_path):
    commands = module("commands")
    (tmp_path / "a.json").write_text("[1, 2")
    (tmp_path / "b.html").write_text("<html></html>\n")
    (tmp_path / "c.html").write_text("<html>")
    (tmp_path / "m.json").write_text("before")
    found = [text.partition(" is not whole")[0] for text in commands.torn(tmp_path, before=("m.json",))]
    assert found == ["a.json", "c.html"]


def test_every_upper_bound_has_its_reason(module, monkeypatch):
    setuptools = pytest.importorskip("setuptools")
    supply, caught = module("supply"), {}
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: caught.update(arguments))
    source = REPOSITORY / "setup.py"
    exec(compile(source.read_text(), str(source), "exec"), {"__file__": str(source)})
    groups = [caught["install_requires"], *caught["extras_require"].values()]
    row = supply.bounds([supply.Requirement(line) for group in groups for line in group])
    assert row.tried >= 8 and row.faults == []
    assert supply.bounds([supply.Requirement("rich<15")]).faults == ["rich<15: has no reason"]


@pytest.mark.once
@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or os.geteuid() != 0,
    reason="the kernel's filter of calls is used on Linux, x86-64, as root",
)
def test_a_write_is_made_to_fail_and_the_command_says_so(module, tmp_path):
    writes, intercept = module("writes"), module("intercept")
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "id": 1}
    images, categories = [{"id": 1, "file_name": "a", "width": 9, "height": 9}], [{"id": 1, "name": "a"}]
    content = {"images": images, "annotations": [box], "categories": categories}
    (tmp_path / "in.json").write_text(json.dumps(content))
    (tmp_path / "out.json").write_text("before")
    command = f"prepare-json {tmp_path}/in.json {tmp_path}/out.json"
    failing = writes.Failing(3, errno.EIO)
    status, text = intercept.attempt(command, tmp_path, failing)
    assert (status, (tmp_path / "out.json").read_text()) == (2, "before")
    assert text.startswith(f"error: {tmp_path}/out.json: cannot be written: Input/output error")
    whole = writes.Failing(0, 0)
    assert intercept.attempt(command, tmp_path, whole)[0] == 0
    names = [call.name for call in whole.calls]
    assert names[2:] == ["write", "open to write", "fsync", "rename"]
