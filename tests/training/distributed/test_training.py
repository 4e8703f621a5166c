"""Trainings of several processes through the command line: what they write, and how they end."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launching import finish, need_horovod, outlive, run, start
from places import REPOSITORY

from gluon_ssd.data.shapes import make_shapes
from gluon_ssd.tensor_files.archive import read_archive
from gluon_ssd.weights.checkpoint import read_checkpoint

RANK = REPOSITORY / "tests/support/rank_train.py"
NO_EVALUATION = ("--eval-every", 0, "--warmup-steps", 0, "--max-steps", "none", "--log-every", 1)
TRAIN = ("train", "--recipe", "ssd_tiny/smoke", "--batch-size", 2, "--workers", 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    need_horovod()
    return make_shapes(tmp_path_factory.mktemp("training") / "data", train=28, val=3, size=(96, 128))


def last(run_dir):
    return read_checkpoint(run_dir / "checkpoints/last.ckpt").progress


def same_checkpoints(run_dir, other_dir):
    """Both runs ended in the same state, bit for bit."""
    (arrays, state), (others, other) = (
        read_archive(folder / "checkpoints/last.ckpt") for folder in (run_dir, other_dir)
    )
    assert state["progress"] == other["progress"]
    assert [name for name in arrays if arrays[name].tobytes() != others[name].tobytes()] == []


def test_horovodrun_starts_a_training(data, tmp_path):
    """With a group norm over both ranks, gradients in two bundles, scores computed aside; rank 1 is slow."""
    horovodrun = Path(sys.executable).with_name("horovodrun")
    flags = (*TRAIN, "--data", data, "--output", "run", "--max-steps", 6, "--log-every", 1, "--async-val")
    flags += ("--bn-group", 2, "--num-groups", 2, "--fusion-mb", 8, "--compression", "fp16", "--seed", 7)
    flags += ("--eval-ranks", 1)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [horovodrun, "--gloo", "-np", 2, sys.executable, RANK, "slow:1", *flags]
    done = subprocess.run(
        [str(word) for word in command],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    log = (tmp_path / "run/train.log").read_text()
    assert "2 processes: 2 on " in log and "; global batch 4, lr 0.0003125" in log
    assert "seeds of ranks 0 to 1: 7, 8; " in log
    assert re.search(r"rank 1 on \S+ is slow: 0\.\d+ s of its own per step, the others ", log), log
    assert "detections are made, their scores follow" in log
    assert "on 3 images" in log and "3 images evaluated" in log
    assert last(tmp_path / "run").step == 6 and last(tmp_path / "run").processes == 2
    assert "[1]<stdout>" not in done.stdout
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert "val" in names and "nonfinite_batch.npz" not in names
    assert sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir()) == [
        "best.ckpt",
        "last.ckpt",
    ]


def test_the_published_start_of_dalis_example_is_one_training(data, tmp_path):
    pytest.importorskip("torch")
    flags = "--warmup 300 --bs 2 --recipe ssd_tiny/smoke --workers 1 --max-steps 2 --eval-every 0"
    command = [sys.executable, "-m", "torch.distributed.launch", "--nproc_per_node=2", "-m", "gluon_ssd.main"]
    done = subprocess.run(
        [*command, *flags.split(), "--data", str(data), "--output", "run"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 processes: 2 on " in done.stdout and done.stdout.count("results in run") == 1
    assert last(tmp_path / "run").step == 2 and last(tmp_path / "run").processes == 2


def test_a_killed_rank_ends_the_others_and_fewer_go_on(data, tmp_path):
    output = tmp_path / "run"
    flags = (*TRAIN, "--data", data, "--output", output, "--epochs", 2, *NO_EVALUATION)
    results = outlive(tmp_path, 3, RANK, "dies:1:4", *flags, "--checkpoint-steps", 1)
    ended = time.time()
    assert [status for status, _, _ in results] == [1, -signal.SIGKILL, 1], results
    # From the kill to the end of the last one, so that a slow start of the processes does not count.
    assert ended - (tmp_path / "killed").stat().st_mtime < 60
    advice = f"to go on from the last checkpoint: gluon-ssd train --resume --output {output}"
    for rank in (0, 2):
        line = [text for text in results[rank][2].splitlines() if text.startswith("error: ")]
        assert len(line) == 1, results[rank]
        assert re.match(r"error: rank 1 on \S+ ended: it was killed, or its machine is gone; ", line[0])
        assert line[0].endswith(advice)
    assert "rank 1 on " in (output / "train.log").read_text()
    before = last(output)
    assert (before.epoch, before.batch, before.step, before.processes) == (1, 3, 3, 3)

    # 18 images of the epoch are over: with two ranks that is four batches of 2 each, and two images again.
    shutil.copytree(output, tmp_path / "copy")
    resume = ("-m", "gluon_ssd", "train", "--resume", "--epochs", 1, "--output")
    printed = run(2, *resume, output)
    assert "2 processes go on with what 3 have begun" in printed
    batches = int(re.search(r"training on (\d+) images", printed)[1]) // 4
    assert last(output).step == 3 + batches - 4
    assert (last(output).epoch, last(output).batch, last(output).processes) == (2, 0, 2)
    alone = run(1, *resume, tmp_path / "copy")
    assert "1 processes go on" not in alone and "one process goes on with what 3 have begun" in alone


def test_the_rank_that_all_are_connected_to_is_missed_too(data, tmp_path):
    flags = (*TRAIN, "--data", data, "--output", tmp_path / "run", "--epochs", 2, *NO_EVALUATION)
    results = outlive(tmp_path, 3, RANK, "dies:0:2", *flags)
    assert time.time() - (tmp_path / "killed").stat().st_mtime < 60
    assert [status for status, _, _ in results] == [-signal.SIGKILL, 1, 1], results
    for _, _, err in results[1:]:
        assert re.search(
            r"^error: rank 0 on \S+ ended: it was killed, or its machine is gone; ", err, re.M
        ), err


@pytest.mark.once
def test_a_rank_that_does_not_start_is_named(data, tmp_path):
    """Horovod by itself aborts, and so would every rank that waits for it."""
    flags = ("-m", "gluon_ssd", *TRAIN, "--data", data, "--output", tmp_path / "run")
    both = start(3, *flags, HOROVOD_GLOO_TIMEOUT_SECONDS="6")
    both[1].kill()
    (status, _, err), _, (other_status, _, other) = finish(both, timeout=120)
    assert (status, err) == (2, "error: rank 1 of 3 did not start within 6 seconds\n")
    assert other_status == 2 and other.startswith("error: rank 0 ") and other.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.once
def test_a_rank_that_hangs_ends_the_others_with_one_line(data, tmp_path):
    flags = (*TRAIN, "--data", data, "--output", tmp_path / "run", "--epochs", 2, *NO_EVALUATION)
    flags += ("--checkpoint-steps", 1)
    both = start(2, RANK, "hangs:1:3", *flags, HOROVOD_GLOO_TIMEOUT_SECONDS="5")
    try:
        ((status, _, err),) = finish(both[:1], timeout=120)
    finally:
        both[1].kill()
        both[1].communicate()
    (line,) = [text for text in err.splitlines() if text.startswith("error: ")]
    assert (status, "Traceback" in err) == (1, False), err
    assert line.startswith("error: a rank did not answer for 5 seconds (HOROVOD_GLOO_TIMEOUT_SECONDS)")
    assert line.endswith(f"checkpoint: gluon-ssd train --resume --output {tmp_path}/run")


def test_two_ranks_resume_bit_for_bit(data, tmp_path):
    """Norms see other images on each rank; a checkpoint has the mean of their statistics for all."""
    flags = ("-m", "gluon_ssd", *TRAIN, "--data", data, *NO_EVALUATION, "--checkpoint-steps", 2)
    # Nothing of a warm-up stays.
    run(2, *flags, "--max-steps", 4, "--model-warmup", 2, "--output", tmp_path / "whole")
    run(2, *flags, "--max-steps", 2, "--output", tmp_path / "run")
    run(2, "-m", "gluon_ssd", "train", "--resume", "--output", tmp_path / "run", "--max-steps", 4)
    same_checkpoints(tmp_path / "run", tmp_path / "whole")
    assert last(tmp_path / "run").step == 4


def test_a_mistake_on_one_rank_is_told_by_all(data, tmp_path):
    flags = (*TRAIN, "--data", data, "--output", tmp_path / "run", "--epochs", 2, *NO_EVALUATION)
    results = outlive(tmp_path, 2, RANK, "breaks:1:2", *flags, timeout=120)
    assert [status for status, _, _ in results] == [1, 2], results
    assert "error: picture.jpg: cannot be read\n" in results[1][2]
    assert re.search(r"error: rank 1 on \S+ ended: picture.jpg: cannot be read; no checkpoint", results[0][2])


def test_an_interrupt_leaves_no_traceback_and_names_the_checkpoint(data, tmp_path):
    """Rank 0 waits for rank 1 in its third step; rank 1 has not seen rank 0 write the only checkpoint."""
    output = tmp_path / "run"
    flags = (*TRAIN, "--data", data, "--output", output, "--epochs", 2, *NO_EVALUATION)
    results = outlive(tmp_path, 2, RANK, "stops:0:3", *flags, "--checkpoint-steps", 2, timeout=120)
    assert [status for status, _, _ in results] == [130, 130], results
    command = f"gluon-ssd train --resume --output {output}\n"
    assert f"interrupted in epoch 1, step 2; its state is saved; to go on: {command}" in results[0][2]
    assert "Traceback" not in results[0][2], results[0][2]
    line = rf"error: rank 0 on \S+ ended: it was interrupted; to go on from the last checkpoint: {command}"
    assert re.search(line, results[1][2])


def test_a_signal_to_one_rank_stops_all_at_the_same_step(data, tmp_path):
    """Rank 0 learns of it with the step after; a run without a stop is the same to the last bit."""
    flags = (*TRAIN, "--data", data, *NO_EVALUATION, "--epochs", 2)
    results = finish(start(2, RANK, "gets:1:3", *flags, "--output", tmp_path / "run"))
    assert [status for status, _, _ in results] == [143, 143], results
    command = f"gluon-ssd train --resume --output {tmp_path / 'run'}\n"
    line = f"interrupted by SIGTERM in epoch 1, step 4; its state is saved; to go on: {command}"
    assert [err for _, _, err in results] == [line, ""]
    assert last(tmp_path / "run").step == 4
    run(2, "-m", "gluon_ssd", "train", "--resume", "--output", tmp_path / "run", "--max-steps", 5)
    whole = ("-m", "gluon_ssd", *flags, "--output", tmp_path / "whole")
    run(2, *whole, "--max-steps", 5)
    same_checkpoints(tmp_path / "run", tmp_path / "whole")


def test_a_signal_in_evaluation_ends_all_at_once(data, tmp_path):
    output = tmp_path / "run"
    flags = (*TRAIN, "--data", data, "--output", output, "--max-steps", 1, "--eval-batch-size", 1)
    results = finish(start(2, RANK, "leaves:1:1", *flags))
    assert [status for status, _, _ in results] == [143, 143], results
    line = "error: rank 1 on .* ended: it was interrupted; to go on from the last checkpoint: gluon-ssd train"
    assert re.search(line, results[0][2]) and "Traceback" not in results[0][2] + results[1][2]
    assert (last(output).step, last(output).evaluated) == (1, 0)


def test_a_rank_that_is_through_stays_until_its_last_step_is_done(data, tmp_path):
    """Rank 1 has nothing to write; if it left, rank 0's last step would fail, and with it the checkpoint."""
    flags = (*TRAIN, "--data", data, "--output", tmp_path / "run", *NO_EVALUATION, "--max-steps", 2)
    # What comes after does not queue behind the gradient that is late.
    run(2, RANK, "lags:1:2", *flags, MXNET_CPU_WORKER_NTHREADS="2")
    assert last(tmp_path / "run").step == 2


def test_dali_reads_for_two_ranks_and_for_one_that_goes_on(data, tmp_path):
    """DALI brings a libjpeg, and MXNet's is what Horovod makes everybody see."""
    pytest.importorskip("nvidia.dali")
    output = tmp_path / "run"
    flags = (*TRAIN, "--data", data, "--output", output, "--epochs", 1, *NO_EVALUATION)
    run(2, "-m", "gluon_ssd", *flags, "--data-pipeline", "dali", "--max-steps", 2)
    run(1, "-m", "gluon_ssd", "train", "--resume", "--output", output, "--max-steps", 5)
    assert (last(output).batch, last(output).step, last(output).processes) == (7, 5, 1)
    val = ("-m", "gluon_ssd", "val", output, "--data-pipeline", "dali", "--score-threshold", 0.01)
    for size in (1, 2):
        run(size, *val, "--output", tmp_path / str(size))
    one, two = ((tmp_path / str(size) / "detections.json").read_bytes() for size in (1, 2))
    assert one == two and len(one) > 1000


def test_a_group_that_does_not_divide_the_ranks(data, tmp_path):
    flags = (*TRAIN, "--data", data, "--output", tmp_path / "run", "--bn-group", 3)
    for status, _, err in finish(start(2, "-m", "gluon_ssd", *flags)):
        assert status == 2
        assert "bn_group is 3, which does not divide the 2 processes into whole groups" in err
    assert not (tmp_path / "run").exists()
