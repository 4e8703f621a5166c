"""Files and modules of the user's own that add models, on the command line, in recipes and checkpoints."""

from __future__ import annotations

import shutil
import sys

import pytest
from own_zoo import own_zoo
from small import refused

from gluon_ssd import UserError, list_models, load
from gluon_ssd.model_zoo import registry
from gluon_ssd.plugins import import_plugins
from gluon_ssd.recipe import Recipe
from gluon_ssd.tensor_files.archive import read_archive, write_archive

ADDS_A_MODEL = """
from dataclasses import replace
from gluon_ssd.model_zoo import model_row, register_model, ssd_models

ROW = model_row("ssd_tiny")

@register_model(replace(ROW, name="my_tiny", family="mine", summary="mine"))
def build(row, classes):
    net = ssd_models.build_ssd(ROW, classes)
    net.model_name = row.name
    return net
"""


@pytest.fixture(autouse=True)
def zoo():
    """What a test registers and imports is gone after it."""
    with own_zoo():
        yield


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(ADDS_A_MODEL)
    return path


def forget(monkeypatch):
    """As a new process would have it: the plugin was not imported."""
    monkeypatch.setattr(registry, "_MODELS", {k: v for k, v in registry._MODELS.items() if k != "my_tiny"})
    for name in [name for name in sys.modules if name.startswith("gluon_ssd_plugin")]:
        del sys.modules[name]


def test_a_file_is_imported_once_and_known_by_its_whole_path(plugin, monkeypatch):
    monkeypatch.chdir(plugin.parent)
    assert import_plugins(["mine.py"]) == import_plugins([str(plugin), "./mine.py"])[:1] == (str(plugin),)
    assert "my_tiny" in list_models()


def test_a_module_is_known_by_its_name(plugin, monkeypatch):
    plugin.rename(plugin.with_name("my_models.py"))
    monkeypatch.syspath_prepend(plugin.parent)
    assert import_plugins(["my_models"]) == ("my_models",)
    assert "my_tiny" in list_models()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("x = = 1", "SyntaxError: invalid syntax"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        (ADDS_A_MODEL.replace("my_tiny", "ssd_tiny"), "a model called 'ssd_tiny' is registered already"),
    ],
)
def test_what_cannot_be_imported_is_one_line(cli, tmp_path, content, message):
    (tmp_path / "broken.py").write_text(content)
    refused(cli("models", "--plugin", "broken.py"), "plugin broken.py: cannot be imported: ", message)


def test_a_plugin_that_is_not_there(cli):
    refused(cli("models", "--plugin", "gone.py"), "plugin gone.py: no such file")
    refused(cli("models", "--plugin", "gone"), "plugin gone: cannot be imported", "No module named 'gone'")


def test_the_environment_names_plugins_too(cli, plugin, monkeypatch):
    monkeypatch.setenv("GLUON_SSD_PLUGIN", str(plugin))
    assert cli("models", "my_tiny").status == 0


def test_a_recipe_may_name_one_or_several(tmp_path):
    for text, names in (("plugin: a.py", ("a.py",)), ("plugin: [a.py, b.c]", ("a.py", "b.c")), ("lr: 1", ())):
        (tmp_path / "recipe.yaml").write_text(text)
        assert Recipe.from_yaml(tmp_path / "recipe.yaml").plugin == names


@pytest.fixture
def run(cli, plugin, shapes, monkeypatch):
    """A run of the plugin's model, in a process that then has not imported it."""
    flags = ("--epochs", 1, "--batch-size", 4, "--max-steps", 1, "--limit-val", 2, "--eval-batch-size", 2)
    model = ("--plugin", "mine.py", "--model", "my_tiny")
    done = cli("train", *model, *flags, "--data", shapes, "--output", "run")
    assert done.status == 0, done
    forget(monkeypatch)
    return plugin.parent / "run"


def test_a_run_finds_its_plugin_again(cli, run, shapes, monkeypatch):
    monkeypatch.chdir("/")
    picture = sorted((shapes / "val").glob("*.jpg"))[0]
    for verb in (("val", run, "--limit", 2), ("predict", picture, "--weights", run, "--output", run / "p")):
        done = cli(*verb)
        assert done.status == 0, done
        forget(monkeypatch)
    more = ("--max-steps", 2, "--epochs", 2, "--eval-every", 0)
    done = cli("train", "--resume", "--output", run, *more)
    assert done.status == 0 and "resumed" in done.out, done


def test_a_plugin_that_was_moved_can_be_given(cli, run, plugin):
    moved = plugin.rename(plugin.with_name("moved.py"))
    refused(cli("val", run, "--limit", 2), "best.ckpt: plugin ", "mine.py: no such file", "--plugin FILE")
    assert cli("val", run, "--limit", 2, "--plugin", moved).status == 0


@pytest.mark.parametrize("name", ["mine.py", "./mine.py", 5])
def test_a_checkpoint_cannot_name_a_file_of_the_current_folder(run, name):
    path = run / "checkpoints" / "last.ckpt"
    arrays, state = read_archive(path)
    state["recipe"]["plugin"] = [name]
    write_archive(path, arrays, state)
    with pytest.raises(UserError, match="last.ckpt: its recipe names plugins"):
        load(path)


def test_a_copied_run_needs_no_import_where_its_model_is_known(run, plugin, tmp_path):
    import_plugins([str(plugin)])
    plugin.unlink()
    shutil.copytree(run, tmp_path / "copy")
    assert load(tmp_path / "copy" / "checkpoints" / "last.ckpt").model_name == "my_tiny"
