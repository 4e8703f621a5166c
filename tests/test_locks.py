"""A run folder belongs to one training at a time, and to none once that has ended, in whatever way."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import REPOSITORY
from small import TRAIN, files, refused

from gluon_ssd.errors import UserError
from gluon_ssd.locks import only_writer
from gluon_ssd.recipe import Recipe
from gluon_ssd.runs import lock_run, refuse_running
from gluon_ssd.training.distributed import World
from gluon_ssd.training.run_folder import claim_folder

HOLDER = "import time; from pathlib import Path; from gluon_ssd.runs import lock_run as lock\n"
HOLDER += "log = lock(Path('run')); time.sleep(300)"
TRAINING = "import sys; from gluon_ssd.cli import main; sys.exit(main(sys.argv[1:]))"


def start(code, cwd, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def holder(tmp_path):
    """A process that has claimed the folder run; it is killed at the end."""
    (tmp_path / "run").mkdir()
    process = start(HOLDER, tmp_path)
    log = tmp_path / "run" / "train.log"
    wait_for(lambda: log.is_file() and " process " in log.read_text())
    yield process
    process.kill()
    process.communicate()


def test_what_another_process_trains_is_refused_until_it_ends(cli, shapes, holder, tmp_path):
    before = files(tmp_path)
    who = f"run: process {holder.pid} on {socket.gethostname()} is training there; let it end"
    refused(cli(*TRAIN, "--data", shapes), who, "choose another --output")
    refused(cli(*TRAIN, "--data", shapes, "--resume"), who)
    assert files(tmp_path) == before
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert cli(*TRAIN, "--data", shapes).status == 0
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count(" process ") == 2 and f" process {os.getpid()} on " in log


def test_a_run_that_goes_on_is_not_resumed_and_its_demo_not_replaced(cli, small_run, tmp_path):
    log = lock_run(small_run)
    refused(cli("train", "--resume", "--output", small_run), f"{small_run}: process {os.getpid()} on ")
    log.close()
    refuse_running(small_run)
    (tmp_path / "runs" / "demo" / "run").mkdir(parents=True)
    with lock_run(tmp_path / "runs" / "demo" / "run"):
        before = files(tmp_path)
        refused(cli("demo"), "runs/demo/run: process ")
        assert files(tmp_path) == before


def test_two_trainings_started_together_with_one_output(shapes, tmp_path):
    arguments = [*TRAIN, "--data", shapes, "--eval-every", 0]
    both = [start(TRAINING, tmp_path, *arguments) for _ in range(2)]
    results = [(*process.communicate(timeout=300), process.returncode) for process in both]
    (_, nothing, _), (_, error, _) = sorted(results, key=lambda result: result[2])
    assert sorted(status for _, _, status in results) == [0, 2]
    assert nothing == "" and error.startswith("error: run: ") and error.count("\n") == 1
    assert (tmp_path / "run" / "train.log").read_text().count("run folder run") == 1


def test_a_mistake_leaves_no_run_folder(cli, shapes, tmp_path):
    arguments = ("train", "--recipe", "ssd_tiny/smoke", "--data", shapes, "--batch-size", 99)
    refused(cli(*arguments), "too few for one batch of 99")
    refused(cli(*arguments, "--output", "mine"), "too few for one batch of 99")
    assert list(tmp_path.iterdir()) == []


def test_other_ranks_learn_the_name_and_touch_nothing(tmp_path, monkeypatch):
    class SecondRank(World):
        rank = 1

        def share(self, value):
            return Path("runs/ssd_tiny-1")

    monkeypatch.chdir(tmp_path)
    folder = claim_folder(Recipe(model="ssd_tiny"), SecondRank(), resumed=False)
    assert folder.path == Path("runs/ssd_tiny-1")
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_came_and_went_meanwhile_is_not_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("run/checkpoints").mkdir(parents=True)
    Path("run/checkpoints/last.ckpt").write_text("of another training")
    with pytest.raises(UserError, match="^run: holds a run already"):
        claim_folder(Recipe(model="ssd_tiny", output="run"), World(), resumed=False)
    refuse_running(Path("run"))
    assert not Path("run/recipe.yaml").exists()


def test_a_disk_without_locks_is_told_of_once(monkeypatch, capfd, tmp_path):
    def flock(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    refuse_running(tmp_path)
    log = lock_run(tmp_path)
    refuse_running(tmp_path)
    log.close()
    assert capfd.readouterr().err == (
        f"{tmp_path}/train.log: cannot be locked (No locks available); "
        "start no second training in this folder\n"
    )
    with only_writer(tmp_path):
        pass


def test_a_holder_that_has_left_no_name(monkeypatch, tmp_path):
    log = lock_run(tmp_path)
    (tmp_path / "train.log").write_text("")
    with pytest.raises(UserError, match="another process is training there"):
        lock_run(tmp_path)
    log.close()


# Both write their name into two files, the second a while later.
WRITER = """
import sys, time
from pathlib import Path
from gluon_ssd.locks import only_writer
for turn in range(15):
    with only_writer(Path("val")):
        Path("val/one").write_text(sys.argv[1])
        time.sleep(0.01)
        Path("val/two").write_text(sys.argv[1])
        assert Path("val/one").read_text() == Path("val/two").read_text()
"""


def test_writers_of_one_evaluation_folder_take_turns(tmp_path):
    (tmp_path / "val").mkdir()
    writers = [start(WRITER, tmp_path, name) for name in "abc"]
    assert [writer.communicate(timeout=120)[1] for writer in writers] == ["", "", ""]
    assert sorted(path.name for path in (tmp_path / "val").iterdir()) == ["one", "two"]
