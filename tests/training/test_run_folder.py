"""The paths that a run keeps: it works from any folder, and after it has moved with its data."""

import shutil

import pytest
from small import refused, same, write_set

from gluon_ssd.recipe import Recipe
from gluon_ssd.tensor_files.archive import read_archive, write_archive
from gluon_ssd.training.run_folder import absolute_paths
from gluon_ssd.weights.checkpoint import read_checkpoint

TRAIN = ("train", "--recipe", "ssd_tiny/smoke", "--batch-size", 2, "--epochs", 9, "--eval-every", 9)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the data set ``set`` and the run ``runs/x``, made by relative paths after one step."""
    from gluon_ssd.cli import main

    home = tmp_path_factory.mktemp("trained") / "home"
    write_set(home / "set")
    (home / "set" / "annotations" / "val.json").rename(home / "set" / "annotations" / "mine.json")
    arguments = [*TRAIN, "--data", "set", "--val-annotation", "annotations/mine.json", "--output", "runs/x"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main([str(word) for word in (*arguments, "--max-steps", 1)]) == 0
    return home


@pytest.fixture
def home(trained, tmp_path):
    """`trained`, where it was made; what a test does to it is undone."""
    shutil.copytree(trained, tmp_path / "kept")
    yield trained
    shutil.rmtree(trained, ignore_errors=True)
    (tmp_path / "kept").rename(trained)


def works(cli, run, *data):
    """Asserts that the run can be scored and goes on, from the folder that ``cli`` stands in."""
    scored = cli("val", run, "--limit", 2, *data)
    assert scored.status == 0, scored.err
    assert f"results in {run}/val" in scored.out
    step = read_checkpoint(run / "checkpoints" / "last.ckpt").progress.step
    resumed = cli("train", "--resume", "--output", run, "--max-steps", step + 1, *data)
    assert resumed.status == 0, resumed.err
    assert read_checkpoint(run / "checkpoints" / "last.ckpt").progress.step == step + 1


def test_from_another_folder(cli, home):
    works(cli, home / "runs" / "x")


def test_moved_together(cli, home, tmp_path):
    home.rename(tmp_path / "moved")
    run = tmp_path / "moved" / "runs" / "x"
    works(cli, run)
    assert Recipe.from_yaml(run / "recipe.yaml").data == str(tmp_path / "moved" / "set")
    # And once more, from what the resumed run has written.
    (tmp_path / "moved").rename(tmp_path / "again")
    works(cli, tmp_path / "again" / "runs" / "x")


def test_only_the_data_set_moved(cli, home, tmp_path):
    (home / "set").rename(tmp_path / "other")
    run = home / "runs" / "x"
    told = f"error: data folder {home}/set does not exist; say where the data set is: --data FOLDER"
    refused(cli("val", run), told)
    refused(cli("train", "--resume", "--output", run, "--max-steps", 2), told)
    resumed = cli("train", "--resume", "--output", run, "--max-steps", 2, "--data", "other")
    assert resumed.status == 0, resumed.err
    recipe = Recipe.from_yaml(run / "recipe.yaml")
    assert recipe.data == str(tmp_path / "other")
    assert recipe.val_annotation == str(tmp_path / "other" / "annotations" / "mine.json")
    assert cli("train", "--resume", "--output", run, "--max-steps", 3).status == 0


def test_only_the_run_moved_and_what_was_tried_when_all_is_gone(cli, home, tmp_path):
    run = tmp_path / "elsewhere" / "runs" / "y"
    shutil.copytree(home / "runs" / "x", run)
    assert cli("val", run).status == 0
    shutil.rmtree(home / "set")
    refused(
        cli("val", run),
        f"data folder {home}/set does not exist, nor does {tmp_path}/elsewhere/set; ",
        "say where the data set is: --data FOLDER",
    )
    refused(cli("val", run, "--data", "gone"), "data folder gone does not exist; give the folder")
    resumed = cli("train", "--resume", "--output", run, "--max-steps", 2, "--data", "gone")
    refused(resumed, "data folder gone does not exist; give the folder")


def test_one_file_is_gone(cli, home):
    (home / "set" / "annotations" / "mine.json").unlink()
    told = f"val annotation {home}/set/annotations/mine.json does not exist; "
    refused(cli("val", home / "runs" / "x"), told)


@pytest.mark.parametrize("output", [None, "runs/x"])
def test_a_run_from_before_paths_were_absolute(cli, home, monkeypatch, output):
    run = home / "runs" / "x"
    if output is None:
        run = run.rename(run.with_name("ssd_tiny-1"))
    old = {"data": "set", "val_annotation": "annotations/mine.json", "output": output}
    (run / "recipe.yaml").write_text(Recipe.from_yaml(run / "recipe.yaml").override(old).to_yaml())
    for path in (run / "checkpoints").iterdir():
        arrays, state = read_archive(path)
        state["recipe"].update(old)
        write_archive(path, arrays, state)
    with monkeypatch.context() as there:
        there.chdir(home)
        assert cli("val", run.relative_to(home), "--limit", 2).status == 0
    works(cli, run)


def test_the_folder_makes_no_difference_to_the_parameters(cli, home, tmp_path):
    write_set(tmp_path / "set")
    arguments = (*TRAIN, "--data", "set", "--val-annotation", "annotations/val.json")
    assert cli(*arguments, "--max-steps", 1, "--output", "other/folder").status == 0
    runs = home / "runs" / "x", tmp_path / "other" / "folder"
    one, other = (read_checkpoint(run / "checkpoints" / "last.ckpt") for run in runs)
    assert same(one.parameters, other.parameters) and same(one.optimizer, other.optimizer)
    assert (one.recipe["data"], other.recipe["data"]) == (str(home / "set"), str(tmp_path / "set"))
    assert other.recipe["output"] == str(tmp_path / "other" / "folder")
    # To copy the recipe is to want a new run, which has a folder of its own.
    assert Recipe.from_yaml("other/folder/recipe.yaml").output == "other/folder"


def test_what_is_a_path_and_what_is_a_name(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine.json").touch()
    monkeypatch.chdir(tmp_path / "here")
    recipe = Recipe(
        data="../set",
        train_annotation="mine.json",
        train_images="pictures",
        weights="runs/x/best",
        pretrained_backbone="resnet34",
    )
    kept = absolute_paths(recipe)
    assert kept.data == str(tmp_path / "set")
    assert kept.train_annotation == str(tmp_path / "here" / "mine.json")
    assert kept.train_images == str(tmp_path / "set" / "pictures")
    assert kept.weights == str(tmp_path / "here" / "runs" / "x" / "best")
    assert kept.pretrained_backbone == "resnet34"
    assert absolute_paths(kept) == kept
    assert absolute_paths(Recipe(weights="pretrained")) == Recipe(weights="pretrained")
    assert absolute_paths(Recipe(train_annotation="mine.json")).data == str(tmp_path / "here")
    # Made-up images need no folder, whatever else is written.
    made_up = absolute_paths(Recipe(data_pipeline="synthetic", json_summary="a.json"))
    assert (made_up.data, made_up.json_summary) == (None, str(tmp_path / "here" / "a.json"))
