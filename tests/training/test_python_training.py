"""`gluon_ssd.train`: the recipe's keys from Python, its result, and mistakes."""

import importlib
import sys

import numpy as np
import pytest
from places import REPOSITORY

import gluon_ssd
from gluon_ssd import Detector, UserError, train
from gluon_ssd.recipe import Recipe


def test_the_result_tells_what_the_run_folder_holds(shapes, tmp_path):
    result = train(
        "ssd_tiny/smoke",
        data=shapes,
        output=tmp_path,
        batch_size=np.int64(4),
        lr=np.float32(0.001),
        max_steps=None,
        epochs=2,
        eval_epochs=[2],
        quiet=True,
    )
    assert (result.run_dir, result.steps, result.reached_target) == (tmp_path, 4, False)
    assert result.best == tmp_path / "checkpoints/best.ckpt" and result.best.is_file()
    assert result.last == tmp_path / "checkpoints/last.ckpt" and result.last.is_file()
    first, second = result.metrics
    assert (first["epoch"], first["step"], first["map"]) == (1, 2, None)
    assert (second["epoch"], second["step"]) == (2, 4)
    assert second["map"] == pytest.approx(result.best_map, abs=1e-6)
    assert first["loss"] == pytest.approx(first["cls_loss"] + first["box_loss"], rel=1e-4)
    recipe = Recipe.from_yaml(tmp_path / "recipe.yaml")
    assert (recipe.batch_size, recipe.lr, recipe.data) == (4, pytest.approx(0.001), str(shapes))
    assert Detector(result.best).net.classes == Detector(result.run_dir).net.classes
    further = train(resume=True, output=tmp_path, epochs=3, quiet=True)
    assert (further.steps, len(further.metrics)) == (6, 3)


def test_without_an_evaluation_there_is_no_best(shapes, tmp_path):
    recipe = Recipe(model="ssd_tiny", batch_size=4, epochs=1, eval_every=0, decay_epochs=())
    result = train(recipe, data=shapes, output=tmp_path, quiet=True)
    assert (result.best, result.best_map, result.metrics[0]["map"]) == (None, None, None)
    assert result.last.is_file()


def test_a_recipe_file(shapes, tmp_path):
    (tmp_path / "mine.yaml").write_text("model: ssd_tiny\nepochs: 1\nbatch_size: 4\nmax_steps: 1\n")
    result = train(tmp_path / "mine.yaml", data=shapes, output=tmp_path / "run", eval_every=0, quiet=True)
    assert result.steps == 1


@pytest.mark.parametrize(
    ("recipe", "keys", "message"),
    [
        ("ssd_tiny/dmo", {}, "unknown recipe 'ssd_tiny/dmo'; did you mean ssd_tiny/demo, "),
        ("gone.yaml", {}, "gone.yaml: no such recipe file"),
        ("ssd_tiny/demo", {"epoch": 3}, "train(): unknown key 'epoch'; did you mean epochs, "),
        ("ssd_tiny/demo", {"epochs": 0}, "train(): key 'epochs': must be at least 1, got 0"),
        ("ssd_tiny/demo", {"epochs": 2.5}, "train(): key 'epochs': expected an integer, got 2.5"),
        ("ssd_tiny/demo", {"epochs": True}, "train(): key 'epochs': expected an integer, got True"),
        ("ssd_tiny/demo", {"data": 5}, "train(): key 'data': expected a text or null, got 5"),
        ("ssd_tiny/demo", {}, 'no data set; give its folder: train(..., data="/path/to/coco")'),
        ("ssd_tiny/demo", {"data": "gone"}, "data folder gone does not exist; "),
        (None, {"resume": True}, "nothing to resume under runs/; name the run: "),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, recipe, keys, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        train(recipe, **keys)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_written_over(shapes, small_run):
    with pytest.raises(UserError, match="holds a run already"):
        train("ssd_tiny/smoke", data=shapes, output=small_run)


def test_the_function_stays_what_it_is_after_the_training_package_is_imported():
    importlib.import_module("gluon_ssd.training.train")
    assert gluon_ssd.train is train and callable(train)


def test_the_example_draws_the_losses_of_every_epoch(shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(REPOSITORY / "examples"), *sys.path])
    example = importlib.import_module("live_plot")
    drawn = []
    monkeypatch.setattr(example.LivePlot, "draw", counted(example.LivePlot.draw, drawn))
    flags = ["--recipe", "ssd_tiny/smoke", "--epochs", "2"]
    monkeypatch.setattr(sys, "argv", ["live_plot.py", str(shapes), *flags])
    example.main()
    picture = tmp_path / "runs/ssd_tiny-1/losses.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    plot = drawn[-1]
    assert sorted(plot.losses) == ["box_loss", "cls_loss", "loss"]
    assert all(list(points) == [1, 2] for points in plot.losses.values())
    assert list(plot.scores) == [2]
    assert len(drawn) == 3


def counted(draw, calls):
    def wrapped(self):
        draw(self)
        calls.append(self)

    return wrapped


def test_the_example_tells_mistakes_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(REPOSITORY / "examples"), *sys.path])
    monkeypatch.setattr(sys, "argv", ["live_plot.py", str(tmp_path / "gone")])
    with pytest.raises(SystemExit, match="^error: data folder .*gone does not exist"):
        importlib.import_module("live_plot").main()
