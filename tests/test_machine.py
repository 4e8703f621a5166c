"""What other programs use of the cores, from what Linux tells."""

import io

import pytest

from gluon_ssd import machine

STAT = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 {} 0 0\ncpu1 {} 0 0\ncpu10 7 7 7 7 7 7 7 7 0 0\nintr 3 4\n"


@pytest.fixture
def linux(monkeypatch):
    """Sets /proc/stat and this process's times: cores 0 and 1 of several are its own."""
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(machine.os, "sysconf", lambda name: 100)

    def tell(first, second, own):
        text = STAT.format(" ".join(map(str, first)), " ".join(map(str, second)))
        monkeypatch.setattr(machine, "open", lambda *args, **options: io.StringIO(text), raising=False)
        monkeypatch.setattr(machine.os, "times", lambda: own)

    return tell


def test_other_programs(linux):
    """Of 8 seconds of two cores 6 were work, 2.5 of them this process's and its children's."""
    linux([100, 0, 0, 100, 0, 0, 0, 0], [0] * 8, (1.0, 0.0, 0.0, 0.0, 5.0))
    others = machine.OtherPrograms()
    linux([250, 50, 100, 200, 0, 0, 0, 0], [100, 0, 50, 30, 70, 10, 20, 120], (2.0, 1.0, 0.25, 0.25, 9.0))
    assert others.share() == pytest.approx(3.5 / 8)
    assert others.shares() == pytest.approx((3.5 / 8, 1.2 / 8))


def test_a_shared_machine_is_told_of(linux, monkeypatch):
    linux([0] * 8, [0] * 8, (0.0, 0.0, 0.0, 0.0, 0.0))
    others = machine.OtherPrograms()
    linux([400, 0, 0, 0, 0, 0, 0, 0], [300, 0, 0, 60, 0, 0, 0, 40], (2.4, 0.0, 0.0, 0.0, 5.0))
    monkeypatch.setattr(machine, "run_queue", lambda: 7)
    assert others.warning() == (
        "other programs took 62% of the cores' time, 5% of all by the host of this virtual machine; "
        "7 threads run or wait for 2 cores"
    )
    monkeypatch.setattr(machine, "run_queue", lambda: None)
    linux([400, 0, 0, 0, 0, 0, 0, 0], [300, 0, 0, 100, 0, 0, 0, 0], (2.4, 0.0, 0.0, 0.0, 5.0))
    assert others.warning() == "other programs took 57% of the cores' time"
    linux([400, 0, 0, 0, 0, 0, 0, 0], [300, 0, 0, 100, 0, 0, 0, 0], (6.4, 0.0, 0.0, 0.0, 5.0))
    assert others.warning() is None


@pytest.mark.parametrize(("text", "expected"), [("8.1 4.0 2.0 6/345 999\n", 6), ("odd\n", None)])
def test_run_queue(monkeypatch, text, expected):
    monkeypatch.setattr(machine, "open", lambda *args, **options: io.StringIO(text), raising=False)
    assert machine.run_queue() == expected


def test_where_nothing_else_runs(linux):
    """The clocks are not the same, so that the difference may be below zero."""
    linux([0] * 8, [0] * 8, (0.0, 0.0, 0.0, 0.0, 0.0))
    others = machine.OtherPrograms()
    assert others.share() == 0.0
    linux([100, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 50, 50, 0, 0, 0], (1.01, 0.0, 0.0, 0.0, 1.0))
    assert others.share() == 0.0


def test_where_the_system_does_not_tell(monkeypatch):
    def missing(*args, **options):
        raise FileNotFoundError

    monkeypatch.setattr(machine, "open", missing, raising=False)
    assert machine.OtherPrograms().share() == 0.0
