"""run.json: which processes trained, and where their time went."""

import json
import time
from types import SimpleNamespace

import pytest

from gluon_ssd import train
from gluon_ssd.training.callbacks.step_parts import PARTS, StepParts


def test_a_run_and_its_second_part(shapes, tmp_path):
    run = tmp_path / "run"
    settings = {"batch_size": 2, "max_steps": None, "eval_every": 2, "quiet": True}
    train("ssd_tiny/smoke", data=shapes, output=run, epochs=1, **settings)
    train(output=run, resume=True, epochs=2, quiet=True)
    first, second = json.loads((run / "run.json").read_text())["sessions"]
    assert set(first["versions"]) == {"gluon_ssd", "Python", "numpy", "mxnet", "cv2"}
    assert first["processes"] == 1
    assert set(second["seconds"]) == {"waiting", "evaluation", "rest", *PARTS}
    assert all(second["seconds"][part] > 0 for part in PARTS)
    assert "sessions" in (run / "report.html").read_text()


def test_steps_are_measured_after_the_first_and_then_now_and_then(monkeypatch):
    parts, step = StepParts(), SimpleNamespace(queued=None)
    assert parts.shares() == {}
    parts.started(SimpleNamespace(train_step=step))
    clock = iter(range(10_000))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)) + 1)
    measured = []
    for _ in range(1, 220):
        parts.batch_started(None)
        for part in PARTS:
            step.queued(part)
        measured.append(sum(parts.seconds.values()))
    steps = [number for number, (a, b) in enumerate(zip([0, *measured], measured), 1) if b > a]
    assert steps == [4, 5, 6, 7, 8, 103, 203]
    assert parts.shares() == dict.fromkeys(PARTS, pytest.approx(1 / 3))
