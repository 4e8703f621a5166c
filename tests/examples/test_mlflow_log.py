"""The example of MLflow: what it tells of a training, to a stand-in for the package and to MLflow itself."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
from places import REPOSITORY

from gluon_ssd.recipe import Recipe


class StandIn:
    """Takes the calls of MLflow that the example makes."""

    def __init__(self):
        self.calls = []

    def active_run(self):
        return None

    def __getattr__(self, name):
        return lambda *values, **named: self.calls.append((name, *values, *named.values()))


def example(monkeypatch, mlflow):
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    spec = importlib.util.spec_from_file_location("mlflow_log", REPOSITORY / "examples" / "mlflow_log.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MLflowLog()


def play(callback, folder, rank=0):
    """Plays a training of one epoch to the callback."""
    (folder / "recipe.yaml").write_text("model: ssd_tiny\n")
    callback.started(SimpleNamespace(rank=rank, run_dir=folder, recipe=Recipe()))
    callback.epoch_ended(1, {"loss": 2.5, "lr": 0.1})
    callback.scored(1, SimpleNamespace(stats={"map": 0.4, "ap_small": -1.0}))
    callback.ended(False)


def test_what_it_tells(monkeypatch, tmp_path):
    mlflow = StandIn()
    play(example(monkeypatch, mlflow), tmp_path)
    assert mlflow.calls[0] == ("start_run", tmp_path.name)
    assert mlflow.calls[2:] == [
        ("log_metrics", {"loss": 2.5, "lr": 0.1}, 1),
        ("log_metrics", {"map": 0.4}, 1),
        ("log_artifact", str(tmp_path / "recipe.yaml")),
        ("end_run",),
    ]


def test_of_several_processes_one_tells(monkeypatch, tmp_path):
    mlflow = StandIn()
    play(example(monkeypatch, mlflow), tmp_path, rank=1)
    assert mlflow.calls == []


def test_mlflow_takes_it(monkeypatch, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="needs pip install mlflow-skinny")
    # A database backend would need more packages than the sending half of MLflow brings.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "tracked").as_uri())
    (tmp_path / "run").mkdir()
    play(example(monkeypatch, mlflow), tmp_path / "run")
    (run,) = mlflow.search_runs(output_format="list")
    assert (run.data.metrics["map"], run.data.params["model"]) == (0.4, "ssd_resnet34")
