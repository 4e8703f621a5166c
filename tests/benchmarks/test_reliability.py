"""The harnesses of reliability see what differs, repeat themselves, and their rows make the page."""

import importlib
import os
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
    assert results.PAGE.read_text(encoding="utf-8") == results.page(results.read(results.RESULTS))


def test_rows_come_back_as_they_were_written(module, tmp_path):
    results = module("results")
    table = tmp_path / "rows.csv"
    rows = [
        results.Row("kills", "a, b", 3, 1, 'a "note"', 7, 9, "command"),
        results.Row("kills", "a, b", 5, 0, "now", 8),
    ]
    for row in rows:
        results.append(row, table)
    assert results.read(table) == rows
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
    names = ("m.bin", "m-symbol.json")
    case = verbs.Case("export", [], names, tmp_path / "case", random.Random(0), ["SIGKILL"])
    old, new, place = b"what was there before", b"new", tmp_path / "place"
    after = {"m.bin": new, "m-symbol.json": new}
    # The symbol names the other file: without it nobody opens that, and with it that has to be its own.
    for found, seen in (
        ({"m.bin": old, "m-symbol.json": old}, False),
        ({"m.bin": old}, False),
        ({"m.bin": new}, False),
        ({"m.bin": new, "m-symbol.json": old}, True),
        ({"m-symbol.json": new}, True),
        (after, False),
    ):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name, content in found.items():
            (place / name).write_bytes(content)
        assert bool(case._mixed(place, after)) == seen, found


def test_each_split_of_record_files_is_whole_by_itself(module):
    belongs = module("verbs")._belongs
    assert belongs("set/train-0.rec", "set/records_train.json")
    assert not belongs("set/val-0.rec", "set/records_train.json")


def test_a_process_that_outlives_a_kill_is_found_in_another_session(module, monkeypatch, tmp_path):
    processes, signals = module("processes"), module("signals")
    monkeypatch.setattr(processes, "GRACE", 0.1)
    lines = (
        "import subprocess, time",
        "subprocess.Popen(['sleep', '60'], start_new_session=True)",
        "print('ready', flush=True)",
        "time.sleep(60)",
    )
    running = processes.start(["-c", "; ".join(lines)], tmp_path / "log")
    while "ready" not in running.text():
        assert running.process.poll() is None
    assert signals.stop(running, "SIGKILL", random.Random(0)) == "1 processes outlive SIGKILL"


def test_the_same_seed_changes_files_in_the_same_way(module):
    mutate = module("mutate")
    data = b'{"a": [1, 2.5, "text"], "b": null}' * 20

    def some(seed):
        return [mutate.mutate(data, [data], random.Random(f"{seed} {n}")) for n in range(40)]

    assert some(1) == some(1) != some(2)
    assert sum(changed != data for changed in some(1)) > 35


def test_a_rank_is_hit_when_its_moment_has_come_so_often(module, monkeypatch, tmp_path):
    moments = module("rank_moments")
    # `hit` replaces it for the rest of the process, which is a rank elsewhere.
    monkeypatch.setattr(os, "replace", os.replace)
    sign, seen = tmp_path / "sign", []
    moments.hit("checkpoint", 2, 0, sign)
    for name in ("last.ckpt", "best.ckpt", "last.ckpt", "last.ckpt"):
        (tmp_path / "new").touch()
        os.replace(tmp_path / "new", tmp_path / name)
        seen.append(sign.exists())
        sign.unlink(missing_ok=True)
    assert seen == [False, False, True, False]
