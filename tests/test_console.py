"""What a training shows: on a terminal, redirected, and in its log."""

import re
import sys
from pathlib import Path

import pytest
from terminal import on_a_terminal, screen

from gluon_ssd import console as console_module
from gluon_ssd.console import Console, duration, memory_gib
from gluon_ssd.errors import UserError

# A few steps with a message in between, as the training loop does it.
PROGRAM = """
from pathlib import Path
from gluon_ssd.console import Console
console = Console(Path("train.log"))
console.say("begins [here]")
console.start("epoch 1/2", 4, 1)
for done in (2, 3, 4):
    console.step(done, {"loss": "20.632", "cls": "16.574", "box": "4.058", "lr": "7.81e-05",
                        "images/s": "111.2", "mem": "0.3G"}, show=done == 3)
    if done == 3:
        console.say("a message")
console.stop()
console.say("ended")
console.close()
"""


def test_a_terminal_shows_a_bar_and_takes_it_away(tmp_path):
    text = on_a_terminal(PROGRAM, tmp_path, 80)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert "epoch 1/2 ━" in plain
    assert re.search(r"4/4 ETA 0:00", plain)
    assert "loss 20.632  cls 16.574  box 4.058  lr 7.81e-05  images/s 111.2  mem 0.3G" in plain
    assert "…" not in plain
    assert screen(text) == ["begins [here]", "a message", "ended"]
    assert text.count("\x1b[?25h") == text.count("\x1b[?25l")


def test_a_narrow_terminal(tmp_path):
    assert screen(on_a_terminal(PROGRAM, tmp_path, 40)) == ["begins [here]", "a message", "ended"]


def test_redirected_it_is_plain_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(PROGRAM, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert (lines[0], lines[2], lines[3]) == ("begins [here]", "a message", "ended")
    assert re.fullmatch(
        r"epoch 1/2 3/4  loss 20.632  cls 16.574  box 4.058  lr 7.81e-05  images/s 111.2  mem 0.3G  ETA 0:00",
        lines[1],
    )
    logged = (tmp_path / "train.log").read_text().splitlines()
    assert [line[20:] for line in logged] == lines
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", logged[0])


def test_quiet_still_logs(tmp_path, capsys):
    console = Console(tmp_path / "train.log", quiet=True)
    console.say("one\ntwo")
    console.note("three")
    console.close()
    assert capsys.readouterr().out == ""
    assert [line[20:] for line in (tmp_path / "train.log").read_text().splitlines()] == [
        "one",
        "two",
        "three",
    ]


def test_advance_counts_on(capsys):
    console = Console()
    console.start("evaluation", 10)
    console.advance(4)
    console.advance(6)
    console.step(10, {}, show=True)
    console.close()
    assert capsys.readouterr().out.startswith("evaluation 10/10")


def test_a_log_on_a_full_disk(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    console = Console(Path("/dev/full"), quiet=True)
    with pytest.raises(UserError, match="^/dev/full: cannot be written: No space left on device"):
        console.say("hello")
    console.close()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.9, "0:59"), (61, "1:01"), (3599, "59:59"), (3661, "1:01:01"), (90000, "25:00:00")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_memory():
    assert 0 <= memory_gib() < 1024


@pytest.mark.parametrize("can_draw", [True, False])
def test_a_notebook_has_a_bar_where_rich_can_draw_it(monkeypatch, capsys, can_draw):
    bars = []

    class Bar:
        def __init__(self, *values):
            bars.append(values)

        def show(self, done, eta, note):
            bars.append((done, note))

        def stop(self):
            bars.append("stopped")

    monkeypatch.setattr(console_module, "in_notebook", lambda: True)
    monkeypatch.setattr(console_module, "find_spec", lambda name: name if can_draw else None)
    monkeypatch.setattr(console_module, "_Bar", Bar)
    console = Console()
    console.start("epoch 1/2", 4)
    console.step(1, {"loss": "2.5"}, show=True)
    console.close()
    assert bars == ([("epoch 1/2", 4, 0), (1, "loss 2.5"), "stopped"] if can_draw else [])
    assert capsys.readouterr().out.split("ETA")[0] == ("" if can_draw else "epoch 1/2 1/4  loss 2.5  ")


@pytest.mark.parametrize("stdout", [None, object()])
def test_an_output_that_cannot_say_what_it_is(monkeypatch, tmp_path, stdout):
    monkeypatch.setattr(sys, "stdout", stdout)
    console = Console(tmp_path / "train.log", quiet=stdout is not None)
    console.start("epoch 1/2", 4)
    console.step(1, {}, show=True)
    console.close()
    assert (tmp_path / "train.log").read_text().count("epoch 1/2 1/4") == 1


def test_names_neither_command_a_terminal_nor_are_markup(tmp_path, capsys):
    Console().say("clip\x1b[2J.mp4")
    assert capsys.readouterr().out == "clip\\x1b[2J.mp4\n"
    program = PROGRAM.replace("epoch 1/2", "[/clip].mp4")
    assert "[/clip].mp4 " in on_a_terminal(program, tmp_path, 80)
