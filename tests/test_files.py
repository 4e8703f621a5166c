"""What a killed process leaves of a file goes with the next write; files that belong together stay so."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from places import REPOSITORY

from gluon_ssd import files
from gluon_ssd.errors import UserError
from gluon_ssd.files import as_path, as_utf8, atomic_write, csv_text, new_text_file, remove_leftovers, similar
from gluon_ssd.folders import files_together, new_folder
from gluon_ssd.locks import remove_abandoned

# Each dies in the middle of writing "out".
WRITERS = {
    "a file": (atomic_write, "atomic_write(Path('out'))"),
    "a folder": (new_folder, "new_folder(Path('out'))"),
    "several files": (lambda path: files_together([path]), "files_together([Path('out')])"),
}


def run_writer(call, cwd, last):
    imports = "from gluon_ssd.folders import *\nfrom gluon_ssd.files import *"
    code = f"import os\n{imports}\nwith {call} as place:\n {last}"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def write(function, path):
    with function(path) as place:
        if place.is_dir():
            place = place / "out"
        place.write_text("new")


@pytest.mark.parametrize("place", [".", "/", "folder"])
def test_a_folder_is_no_file_to_write(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    message = f"{place}: cannot be written: Is a directory"
    with pytest.raises(UserError, match=message), atomic_write(Path(place)):
        pass


def test_a_name_that_is_no_text(tmp_path):
    """As old archives and cameras have them: Python keeps such bytes as lone surrogates."""
    name = os.fsdecode(b"a\xff")
    with new_text_file(tmp_path / "list.json") as file:
        file.write(json.dumps([name], ensure_ascii=False))
    assert json.loads((tmp_path / "list.json").read_text(encoding="utf-8")) == [name]
    with pytest.raises(UserError, match="OpenCV takes no name that is not UTF-8; rename it"):
        as_utf8(tmp_path / name, "OpenCV")
    assert as_utf8(tmp_path / "\u00e9", "OpenCV") == str(tmp_path / "\u00e9")


def test_a_home_folder_that_is_not_there_stays_a_name(monkeypatch):
    assert as_path("~nobody-of-this-name/a") == Path("~nobody-of-this-name/a")
    monkeypatch.setenv("HOME", "/home/me")
    assert as_path("~/a") == Path("/home/me/a")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
@pytest.mark.parametrize("kind", WRITERS)
def test_what_a_killed_writer_left_goes_with_the_next_write(kind, tmp_path):
    function, call = WRITERS[kind]
    killed = run_writer(call, tmp_path, f"os.kill(os.getpid(), {int(signal.SIGKILL)})")
    assert killed.wait(60) == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    # A folder of the same name, of the case before, may have been tidied up already.
    files._tidied.cache_clear()
    write(function, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("kind", WRITERS)
def test_what_another_process_is_writing_stays(kind, tmp_path):
    function, call = WRITERS[kind]
    other = run_writer(call, tmp_path, "print(place, flush=True); input()")
    theirs = tmp_path / other.stdout.readline().strip()
    write(function, tmp_path / "out")
    assert theirs.exists() or sys.platform == "win32"
    other.communicate("\n")


@pytest.mark.parametrize("kind", WRITERS)
def test_what_another_process_removes_before_it_is_locked_is_made_again(kind, tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="Windows has no such locks")
    original = fcntl.flock

    def flock(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", original)
        for path in tmp_path.iterdir():
            remove_abandoned(path)
        assert not list(tmp_path.iterdir())
        original(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with WRITERS[kind][0](tmp_path / "out") as place:
        remove_abandoned(place)
        (place / "out" if place.is_dir() else place).write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_leftovers_of_a_folder_go_and_what_is_being_written_stays(tmp_path):
    for name in (".last.ckpt.0123456789.tmp", ".m.0123456789.partial", "last.ckpt", ".hidden"):
        (tmp_path / name).touch()
    with atomic_write(tmp_path / "report.html") as written:
        remove_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {".hidden", "last.ckpt", written.name}
        written.write_text("new")
    remove_leftovers(tmp_path / "gone")


def test_hidden_files_of_others_stay(tmp_path):
    names = {".out.old.tmp", ".out.old.partial", "out"}
    for name in names:
        (tmp_path / name).write_text("mine")
    write(atomic_write, tmp_path / "out")
    write(lambda path: files_together([path]), tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize("kind", ("a file", "several files"))
def test_writers_in_two_containers_may_have_one_number(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 7)
    function = WRITERS[kind][0]
    with function(tmp_path / "out") as one, function(tmp_path / "out") as other:
        for place in (one, other):
            (place / "out" if place.is_dir() else place).write_text("new")
        assert one != other


def test_cells_of_csv_come_back_as_they_were():
    rows = [["class", "ap"], ['a "b", c', "0.5"], ["two\nlines", ""]]
    assert list(csv.reader(csv_text(rows).splitlines(keepends=True))) == rows


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("dta", "; did you mean data?"),
        ("dta/val", "; did you mean data/val?"),
        ("data/vla", "; did you mean data/val?"),
        # The folder is similar, and has no such file.
        ("dta/test", ""),
        ("photos", ""),
        ("data", ""),
        ("b.jpg", ""),
    ],
)
def test_a_misspelled_path_is_told_what_is_there(tmp_path, monkeypatch, name, hint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "val").mkdir(parents=True)
    (tmp_path / "long-name.jpg").touch()
    assert similar(Path(name)) == hint
    assert similar(tmp_path / name) == hint.replace("data", str(tmp_path / "data"))
