"""NVTX ranges, with stand-ins for the module and the GPU; the trace itself is in test_training.py."""

import sys
from pathlib import Path
from types import SimpleNamespace

import mxnet as mx
import pytest

from gluon_ssd import UserError, train
from gluon_ssd.recipe import Recipe
from gluon_ssd.training.callbacks import RunInfo, TrainBatch, profiler
from gluon_ssd.training.callbacks.profiler import StepProfiler


@pytest.fixture(autouse=True)
def traces(monkeypatch):
    """What the stand-in for MXNet's profiler writes; the real one can do so once."""
    places, texts = [], ['{"traceEvents": []}']
    monkeypatch.setattr(profiler, "_WRITTEN", [])
    monkeypatch.setattr(mx.profiler, "set_config", lambda profile_all, filename: places.append(filename))
    monkeypatch.setattr(mx.profiler, "set_state", lambda state: None)
    monkeypatch.setattr(mx.profiler, "dump", lambda: Path(places[-1]).write_text(texts[-1]))
    return texts


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """What the stand-in for nvtx is asked for."""
    (tmp_path / "nvtx.py").write_text(
        "calls = []\n"
        "def push_range(message): calls.append(message)\n"
        "def pop_range(): calls.append('end')\n"
    )
    monkeypatch.delitem(sys.modules, "nvtx", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    import nvtx

    yield nvtx.calls
    monkeypatch.delitem(sys.modules, "nvtx")


def profile(folder, steps, device, rank=0, accumulate=1):
    net = SimpleNamespace(collect_params=lambda: {"w": SimpleNamespace(list_ctx=lambda: [device])})
    told = StepProfiler(steps)
    told.started(RunInfo(Recipe(), Path(folder), net, None, 1, 1, rank=rank))
    for number in range(6):
        step, updates = number // accumulate + 1, (number + 1) % accumulate == 0
        batch = TrainBatch(1, number, step, 0.1, updates, None)
        told.batch_started(batch)
        told.batch_ended(batch, {})
    told.close()


def test_ranges_on_a_gpu_beside_the_trace(tmp_path, calls):
    profile(tmp_path, (2, 3), mx.gpu(0))
    assert calls == ["step 2", "end", "step 3", "end"]
    assert (tmp_path / "profile.json").read_text() == '{"traceEvents": []}'


def test_every_rank_has_ranges_and_rank_0_alone_a_trace(tmp_path, calls):
    profile(tmp_path, (2, 9), mx.gpu(0), rank=1, accumulate=2)
    assert calls == ["step 2", "end", "step 2", "end", "step 3", "end", "step 3", "end"]
    assert not (tmp_path / "profile.json").exists()


@pytest.mark.parametrize("steps, device", [((2, 3), mx.cpu()), (None, mx.gpu(0))])
def test_no_ranges_on_a_cpu_or_without_a_profile(tmp_path, calls, steps, device):
    profile(tmp_path, steps, device)
    assert calls == []


def test_without_the_module_there_is_the_trace_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    profile(tmp_path, (1, 1), mx.gpu(0))
    assert (tmp_path / "profile.json").exists()


@pytest.mark.parametrize("text", ["", '{"traceEvents": [{'])
def test_a_trace_of_which_a_part_is_missing_is_refused(tmp_path, traces, text):
    """MXNet itself says nothing where the disk is full."""
    traces.append(text)
    with pytest.raises(UserError, match="profile.json: cannot be written: MXNet has written only a part of"):
        profile(tmp_path, (1, 1), mx.cpu())
    assert list(tmp_path.iterdir()) == []


def test_a_trace_that_cannot_be_begun_is_told_of_by_the_name_that_the_user_knows(tmp_path):
    with pytest.raises(UserError, match="gone/profile.json: cannot be written: No such file or directory"):
        profile(tmp_path / "gone", (1, 1), mx.cpu())


def test_a_second_trace_in_a_process_is_refused_before_anything_is_opened(tmp_path):
    """MXNet itself fails in the middle of the second training, with a check of its own."""
    profile(tmp_path, (1, 1), mx.cpu())
    with pytest.raises(UserError, match="traces once in a process, and this one has written .*profile.json"):
        train("ssd_tiny/smoke", data=tmp_path, output=tmp_path / "run", profile=[1, 2])
    assert not (tmp_path / "run").exists()
    StepProfiler(None)
