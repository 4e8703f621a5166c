"""The harnesses of reliability see what differs, repeat themselves, and their rows make the page."""

import errno
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


def test_a_fault_is_made_as_small_as_it_still_is_one(module):
    shrink = module("mutate").shrink
    assert shrink(b"some text " * 50 + b"[x]" + b" and more" * 50, lambda data: b"[" in data) == b"["


@pytest.mark.parametrize("reader", ["recipe YAML", "LabelMe"])
def test_a_worker_tells_of_a_fault_and_keeps_the_smallest_file(module, monkeypatch, tmp_path, reader, capsys):
    worker = module("worker")

    def read(folder, path):
        if b"9" in path.read_bytes():
            raise ValueError("a nine")

    row = worker.READERS[reader]
    monkeypatch.setitem(worker.READERS, reader, type(row)(row.make, lambda *places: None))
    fuzzer = worker.Fuzzer(worker.READERS[reader], tmp_path / "files")
    fuzzer.reader.read = read
    for number in range(400):
        found = fuzzer.give(random.Random(number), number)
        if found:
            break
    assert found[0] == "ValueError at outside: a nine" and found[1].read_bytes() == b"9"


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


def test_each_kind_fails_at_its_first_at_its_last_and_in_the_middle(module):
    moments, call = module("moments"), module("calls").Call
    names = ("write", "write", "fsync", "write", "rename", "write")
    paths = ("a1.bin", "a2.bin", "a1.bin", "b.bin", "b.bin", "a3.bin")
    calls = [call(name, path) for name, path in zip(names, paths)]
    found = moments.chosen(calls, ("full", "broken"), random.Random(0))
    assert len(found) == len(set(found)) == 12
    for faults in (found[:4], found[4:8]):
        assert {number for number, _ in faults} == {1, 3, 4, 5}
        assert {fault for _, fault in faults} == {"full", "broken"}
    assert [number for number, _ in found[8:]] == [6, 6, 2, 2]


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


ADVISORY = """
id: PYSEC-2021-1
published: "2021-03-19T04:15:00Z"
affected:
- package: {name: python-multipart, ecosystem: PyPI}
  ranges:
  - type: GIT
    events: [{introduced: "0"}, {fixed: 5d79471038a9}]
  - type: ECOSYSTEM
    events: [{introduced: "1.0"}, {fixed: 1.4.2}, {introduced: "2.0"}, {fixed: 2.1}]
  versions: ["1.0", "1.4"]
"""


@pytest.mark.parametrize(
    "version, fault", [("1.4", 1), ("1.4.1", 1), ("1.4.2", 0), ("2.0.5", 1), ("2.1", 0), ("0.9", 0)]
)
def test_known_faults_are_found_in_a_copy_of_the_database(module, tmp_path, version, fault):
    (tmp_path / "vulns" / "python-multipart").mkdir(parents=True)
    (tmp_path / "vulns" / "python-multipart" / "PYSEC-2021-1.yaml").write_text(ADVISORY)
    row = module("advisories").known_faults(tmp_path, {"Python_Multipart": version, "rich": "1.0"})
    assert (row.tried, row.failed) == (2, fault)
    assert "the newest of 2021-03-19" in row.note


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


def test_files_are_compared_but_for_the_times_in_them(module):
    determinism = module("determinism")
    texts = (b'"2026-11-26 09:39:00", "seconds": 0.7}', b'"2026-11-27 10:40:01", "seconds": 12}')
    first, second = ({"a.json": determinism.TIMES.sub(b"", text), "b": b"1"} for text in texts)
    assert determinism._unequal(first, second) == []
    assert determinism._unequal(first, {**second, "b": b"2", "c": b""}) == ["b", "c"]


@pytest.mark.once
def test_readers_are_tried_in_several_processes(module, tmp_path):
    inputs = module("inputs")
    rows = list(inputs.measure(5, 1, tmp_path, jobs=2, case="TensorFlow CSV", finds=tmp_path / "finds"))
    assert [(row.case, row.tried, row.failed) for row in rows] == [("TensorFlow CSV", 5, 0)]
    assert "files a second" in rows[0].note and not (tmp_path / "finds").exists()
