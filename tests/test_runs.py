import os
import subprocess
import sys

import pytest
from places import REPOSITORY

from gluon_ssd.errors import UserError
from gluon_ssd.runs import latest_run, make_run_dir


def make_run(root, name, age):
    run = root / name
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text("model: ssd_tiny\n")
    for path in (run / "recipe.yaml", run):
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return run


def test_the_first_run_is_number_one(tmp_path):
    assert make_run_dir("ssd_tiny", tmp_path / "runs") == tmp_path / "runs" / "ssd_tiny-1"


def test_the_next_run_is_one_above_the_highest(tmp_path):
    for name in ("ssd_tiny-2", "ssd_tiny-10", "ssd_tiny-x", "ssd_resnet34-30", "ssd_tiny"):
        (tmp_path / name).mkdir()
    assert make_run_dir("ssd_tiny", tmp_path) == tmp_path / "ssd_tiny-11"


# Waits until all have started, then takes 20 numbers.
MAKER = """
import sys, time
from pathlib import Path
from gluon_ssd.runs import make_run_dir
name = sys.argv[1]
Path(f"ready-{name}").touch()
while len(list(Path().glob("ready-*"))) < 4:
    time.sleep(0.001)
for _ in range(20):
    (make_run_dir("ssd_tiny") / name).touch(exist_ok=False)
"""


def test_processes_that_ask_at_the_same_moment_get_folders_of_their_own(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    makers = [
        subprocess.Popen([sys.executable, "-c", MAKER, name], cwd=tmp_path, env=environment)
        for name in "abcd"
    ]
    assert [maker.wait(timeout=120) for maker in makers] == [0] * 4
    taken = [[path.name for path in folder.iterdir()] for folder in (tmp_path / "runs").iterdir()]
    assert len(taken) == 80
    assert all(len(names) == 1 for names in taken)


def test_a_name_that_is_taken_is_passed_over(tmp_path):
    (tmp_path / "ssd_tiny-1").touch()
    assert make_run_dir("ssd_tiny", tmp_path) == tmp_path / "ssd_tiny-2"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: cannot be written: Not a directory; choose another --output"):
        make_run_dir("ssd_tiny", tmp_path / "file")


def test_the_latest_run_is_the_one_written_to_last(tmp_path):
    older = make_run(tmp_path, "ssd_tiny-2", age=50)
    newer = make_run(tmp_path, "ssd_tiny-1", age=10)
    other = make_run(tmp_path, "ssd_resnet34-1", age=0)
    (tmp_path / "ssd_tiny-3").mkdir()
    assert latest_run("ssd_tiny", tmp_path) == newer
    assert latest_run(root=tmp_path) == other
    checkpoints = older / "checkpoints"
    checkpoints.mkdir()
    assert latest_run(root=tmp_path) == older


def test_no_run_at_all(tmp_path):
    assert latest_run(root=tmp_path / "runs") is None
