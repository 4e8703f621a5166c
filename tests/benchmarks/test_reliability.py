"""The harnesses of reliability see what differs, repeat themselves, and their rows make the page."""

import importlib
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
        results.append(row)
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
    case = verbs.Case("export", [], ("m.bin", "m-symbol.json"), tmp_path / "case", random.Random(0))
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


def test_files_are_compared_but_for_the_times_in_them(module):
    determinism = module("determinism")
    texts = (b'"2026-11-26 09:39:00", "seconds": 0.7}', b'"2026-11-27 10:40:01", "seconds": 12}')
    first, second = ({"a.json": determinism.TIMES.sub(b"", text), "b": b"1"} for text in texts)
    assert determinism._unequal(first, second) == []
    assert determinism._unequal(first, {**second, "b": b"2", "c": b""}) == ["b", "c"]
