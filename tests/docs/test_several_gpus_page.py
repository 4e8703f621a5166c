"""The commands of docs/several-gpus.md parse, and what a CPU can run of it is run by two processes."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from launching import need_horovod
from pages import blocks
from places import REPOSITORY

from gluon_ssd.cli.main import build_parser

PAGE = "docs/several-gpus.md"


def commands():
    text = "".join(blocks(PAGE, "sh")).replace("\\\n", " ")
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def test_every_command_for_several_processes_parses():
    launchers = set()
    for words in commands():
        if words[0] not in ("make", "gluon-ssd"):
            launchers.add(words[0])
            start = words.index("gluon_ssd" if "-m" in words else "gluon-ssd")
            assert build_parser().parse_args(words[start + 1 :]).run
    assert launchers == {"horovodrun", "torchrun", "mpirun", "srun"}


def test_batch_and_rate_are_those_of_the_page(capsys):
    (code,) = blocks(PAGE, "python")
    exec(code, {})
    assert capsys.readouterr().out == blocks(PAGE, "text")[1]


@pytest.mark.once
def test_two_processes_train(cli, tmp_path):
    need_horovod()
    demo, train = (words for words in commands() if "shapes" in words)
    assert cli(*demo[1:]).status == 0
    train[0] = str(Path(sys.executable).with_name(train[0]))
    train[3:4] = [sys.executable, "-m", "gluon_ssd"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(train, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    shown = blocks(PAGE, "text")[0].strip().partition("; ")[2]
    assert shown in run.stdout
    assert (tmp_path / "runs/two/checkpoints/last.ckpt").is_file()
