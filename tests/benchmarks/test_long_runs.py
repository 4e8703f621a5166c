"""What is counted over a long run, and when it counts as growing."""

import os
import sys

import pytest


def samples(usage, grown=0.0, start=200.0, threads=9):
    """A quarter of an hour that fills memory for its first third and then grows by ``grown`` MB an hour.

    Every fifth sample is taken in an evaluation, with more memory and threads.
    """
    found = []
    for number in range(450):
        memory = start * min(1, (number + 1) / 140) + grown * number * 2 / 3600 + 30 * (number % 5 == 0)
        found.append(usage.Usage(number * 2.0, memory, 0, 20, threads + 4 * (number % 5 == 0), 0))
    return found


def test_a_start_and_evaluations_are_no_growth(module):
    usage = module("usage")
    assert usage.growing(samples(usage)) == []
    assert usage.summary(samples(usage)).startswith("200 MB (+0.0), 0 MB of shared memory (+0.0), 20 desc")


def test_a_slow_leak_is_growth(module):
    usage = module("usage")
    assert usage.growth(samples(usage, grown=20), "memory") == pytest.approx(20, rel=0.01)
    assert usage.growing(samples(usage, grown=20)) == ["+20.0 MB an hour, more than 12"]


@pytest.mark.skipif(sys.platform != "linux", reason="the harnesses read /proc")
def test_what_a_command_takes_is_counted(module, tmp_path):
    processes, usage = module("processes"), module("usage")
    code = "import threading, time; held = bytearray(b'x') * 50_000_000; file = open('/dev/null')\n"
    code += "threading.Thread(target=time.sleep, args=(60,)).start(); open('tmp', 'w')\n"
    code += "print('ready', flush=True)"
    folder = tmp_path / "folder"
    folder.mkdir()
    running = processes.start(["-c", code], folder / "log")
    try:
        while "ready" not in running.text():
            assert running.process.poll() is None
        sample = next(usage.watch(running, folder, 1))
    finally:
        running.process.kill()
        running.process.wait()
    # Memory of 50 MB and the interpreter's; the log, /dev/null and standard input; two threads.
    assert 50 < sample.memory < 90 and sample.threads == 2 and sample.files == 2
    assert 4 <= sample.descriptors <= 5
    assert os.path.exists(folder / "tmp")


def test_samples_take_the_place_of_earlier_ones_and_are_drawn(module, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    usage, kept = module("usage"), module("samples")
    monkeypatch.setattr(kept, "SAMPLES", tmp_path / "samples.csv")
    monkeypatch.setattr(kept, "PLOT", tmp_path / "plot.png")
    kept.store("training", samples(usage)[:4])
    kept.store("serving", samples(usage)[:3])
    kept.store("training", samples(usage)[:2])
    assert [row["case"] for row in kept.read()] == ["serving"] * 3 + ["training"] * 2
    assert kept.read()[-1]["seconds"] == "2.0"
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
