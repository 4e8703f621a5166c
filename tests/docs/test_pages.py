"""Every block of the pages runs, on few images and for few steps, or says why it cannot and is parsed."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pages
import pytest
from own_zoo import own_zoo
from places import REPOSITORY

import gluon_ssd
from gluon_ssd.cli.main import build_parser, main
from gluon_ssd.data.images import read_image
from gluon_ssd.data.video import VideoWriter
from gluon_ssd.errors import UserError

PATTERNS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/*/*.md", "model_zoo/*/README.md")
PAGES = sorted(path.relative_to(REPOSITORY).as_posix() for name in PATTERNS for path in REPOSITORY.glob(name))
LANGUAGES = {"sh", "python", "text", "json", "yaml"}
MARKS = r"(not run: needs |run in docs/|ends with \d|output|given: |makes: )"
# What makes the commands and the code of every page short, by what they say.
SHORTER = {
    r"\b(ssd_resnet|ssdlite|retinanet)\w+\b(?!/mlperf)": "ssd_tiny",
    r"^gluon-ssd demo --data-only.*": r"\g<0> --images 20",
    r"^gluon-ssd demo --output.*": r"\g<0> --images 30 --epochs 1",
    r"^gluon-ssd train.*": r"\g<0> --epochs 1 --max-steps 2 --batch-size 4 --eval-every 0",
    r"^gluon-ssd train --resume.*": r"\g<0> --max-steps 3",
    r"\bepochs=\d+": "epochs=1, max_steps=2, batch_size=4, limit_val=2",
}

FLAG = r"(?<![\w-])--[a-zA-Z][\w-]*"
# Programs of this repository that have flags of their own, and flags of other programs that pages name.
PROGRAMS = ("scripts/**/*", "benchmarks/**/*.py", "gluon_ssd/main.py", "gluon_ssd/published/*.py")
OF_OTHERS = {
    *("--shell", "--time", "--input_model", "--nproc_per_node", "--pack-label", "--logdir", "--dali-eval-"),
    # torchvision's train.py
    *("--aspect-ratio-group-factor", "--data-path", "--lr-gamma", "--lr-scheduler", "--lr-steps", "--opt"),
    *("--norm-weight-decay", "--weights-backbone"),
}


def shorter(text):
    """The same with smaller networks, fewer images and fewer steps."""
    for pattern, short in SHORTER.items():
        text = re.sub(pattern, short, text, flags=re.M)
    return text


def to_run(page):
    """The blocks of a page that are run."""
    blocks = (block for block in pages.page_blocks(page) if block.language in ("sh", "python"))
    return [block for block in blocks if not block.reason and not block.home]


@pytest.mark.parametrize("page", PAGES)
def test_blocks_say_what_they_are_and_parse(page):
    parser = build_parser()
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    assert len(pages.page_blocks(page)) == len(re.findall(r"^```", text, re.M)) / 2
    for block in pages.page_blocks(page):
        assert block.language in LANGUAGES, block
        assert not block.mark or re.match(MARKS, block.mark), block.mark
        if block.reason and block.language == "sh":
            pages.parse_shell(block.text, parser)
        if block.reason and block.language == "python":
            pages.parse_python(block.text)


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_parse(page):
    parser = build_parser()
    text = pages.BLOCK.sub("", (REPOSITORY / page).read_text(encoding="utf-8"))
    for command in re.findall(r"`gluon-ssd ([a-z-]+ (?!--help)[^`\n]+)`", text):
        # Names in capitals stand for what a reader puts there, which may be a number.
        words = ["1" if word.isupper() else word for word in shlex.split(command)]
        try:
            pages.parse_command(words, parser)
        except UserError as error:
            assert re.search("arguments are required|expected one argument", str(error)), command


def test_every_flag_that_the_text_names_exists():
    verbs = next(a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    known = {flag for verb in verbs.values() for action in verb._actions for flag in action.option_strings}
    for path in (path for name in PROGRAMS for path in REPOSITORY.glob(name) if path.is_file()):
        known |= set(re.findall(FLAG, path.read_text(encoding="utf-8")))
    for page in PAGES:
        code = "\n".join(re.findall(r"`[^`\n]+`", (REPOSITORY / page).read_text(encoding="utf-8")))
        assert set(re.findall(FLAG, code)) - known <= OF_OTHERS, page


@pytest.mark.parametrize("page", PAGES)
def test_blocks_that_are_run_in_another_page_are_there(page):
    for block in pages.page_blocks(page):
        assert not block.home or block.text in [other.text for other in to_run(block.home)], block


def test_the_guide_of_callbacks_names_every_event():
    guide = (REPOSITORY / "docs/how-to/callbacks.md").read_text(encoding="utf-8")
    for event in (name for name in vars(gluon_ssd.Callback) if not name.startswith("_")):
        assert f"| `{event}(" in guide


@pytest.fixture(scope="module")
def things(shapes, small_run, tmp_path_factory):
    """The paths of what pages are given, by its name there."""
    folder = tmp_path_factory.mktemp("things")
    pictures = sorted((shapes / "val").glob("*.jpg"))
    with VideoWriter(folder / "street.mp4", 10) as writer:
        for picture in pictures:
            writer.write(read_image(picture))
    labels = ("--to", "yolo", "--images", "copy")
    assert main(["convert-data", str(shapes), str(folder / "labelled"), *labels]) == 0
    return {
        "my_set": shapes,
        "labelled": folder / "labelled",
        "photos": shapes / "val",
        "photo.jpg": pictures[0],
        "street.mp4": folder / "street.mp4",
        **dict.fromkeys(("runs/demo/run", "runs/mine", "runs/other"), small_run),
    }


def put(source, target):
    """Copies what a page is given; checkpoints, which are replaced and never changed, as hard links."""

    def copy(file, to):
        return os.link(file, to) if file.endswith(".ckpt") else shutil.copy2(file, to)

    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=copy)
    else:
        shutil.copy2(source, target)


@pytest.mark.once
@pytest.mark.parametrize("page", [page for page in PAGES if to_run(page)])
def test_the_page_runs(page, things, cli, capfd, tmp_path):
    for name in pages.named(page, "given"):
        put(things[name], tmp_path / name)
    for name in ("examples", "scripts", "benchmarks"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    names, printed = {}, ""
    with own_zoo():
        for block in pages.page_blocks(page):
            if block.mark.startswith("output"):
                longer = block.mark == "output of a longer run"
                pages.assert_printed(block.text, printed, float("inf") if longer else 0.01)
            elif block.reason or block.home:
                continue
            elif block.language == "sh":
                need(block)
                printed = "".join(follow(command, block, cli, tmp_path) for command in block.commands)
            elif block.language == "python":
                capfd.readouterr()
                exec(compile(shorter(block.text), page, "exec", dont_inherit=True), names)
                printed = capfd.readouterr().out
    for name in pages.named(page, "makes"):
        assert (tmp_path / name).exists(), name


def follow(command, block, cli, folder):
    """Runs a command of a page, and returns what it prints. Those of pip are not run: see ``need``."""
    words = shlex.split(shorter(command), comments=True)
    if words[:2] == ["pip", "install"]:
        return ""
    if words[0] == "gluon-ssd" and not pages.ENDS & set(words):
        outcome = cli(*words[1:])
        assert outcome.status == block.status and bool(outcome.err) == bool(block.status), (command, outcome)
        return outcome.out + outcome.err
    return in_bash(command, folder)


def in_bash(command, folder):
    """What a command prints that bash runs, with gluon-ssd and python on its PATH, at home in the folder."""
    programs = folder / ".programs"
    programs.mkdir(exist_ok=True)
    for name, arguments in (("gluon-ssd", "-m gluon_ssd"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PATH": path, "HOME": str(folder)}
    strict = ["bash", "-euo", "pipefail", "-c", command]
    done = subprocess.run(strict, cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), (command, done)
    return done.stdout


def need(block):
    """Skips the rest of a page where what a block installs with pip is not there."""
    for package in re.findall(r"^pip install .*$", block.text, re.M):
        for extra in re.findall(r"\[([\w-]+)\]", package):
            for requirement in requirements(extra):
                try:
                    metadata.version(requirement)
                except metadata.PackageNotFoundError:
                    pytest.skip(f'needs: pip install "gluon_ssd[{extra}]"')


def requirements(extra):
    """The names of the packages of an extra of setup.py."""
    text = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    (row,) = re.findall(rf'^    "{extra}": (\[.*?\]),$', text, re.M | re.S)
    return re.findall(r"[\"']([\w-]+)", re.sub(r"; python_version[^\"]*", "", row))
