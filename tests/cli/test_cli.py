"""The framework of the command line, and `train` up to where the training begins."""

import os
import signal
import subprocess
import sys

import pytest
from places import REPOSITORY

from gluon_ssd.cli import models
from gluon_ssd.cli.main import VERBS, build_parser
from gluon_ssd.cli.parsing import recipe_values
from gluon_ssd.errors import UserError
from gluon_ssd.platforms import mxnet_advice
from gluon_ssd.recipe import Recipe, load_recipe
from gluon_ssd.runs import resolve_recipe
from gluon_ssd.version import __version__


def flags(*arguments):
    return recipe_values(build_parser().parse_args(["train", *arguments]))


@pytest.fixture
def failing_verb(monkeypatch):
    """Make `models` raise what the test says."""

    def fail_with(error):
        def run(args):
            raise error

        monkeypatch.setattr(models, "run", run)

    return fail_with


def test_version(cli):
    assert cli("--version") == (0, f"gluon_ssd {__version__}\n", "")


def test_without_arguments_shows_the_verbs(cli):
    result = cli()
    assert result.status == 0
    listed = [line.split()[0] for line in result.out.splitlines() if line.startswith("  ")]
    assert listed == list(VERBS)
    assert listed[:6] == ["convert-data", "check", "train", "val", "predict", "export"]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)])
def test_help_needs_no_heavy_package(python, arguments):
    heavy = ["mxnet", "cv2", "matplotlib", "pycocotools", "numpy", "rich"]
    code = (
        "import sys\n"
        f"for name in {heavy}: sys.modules[name] = None\n"
        f"from gluon_ssd.cli import main; sys.exit(main({arguments}))"
    )
    result = python(code)
    assert (result.status, result.err) == (0, "")
    assert result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown verb 'trian'; did you mean train?"),
        (["zzz"], f"unknown verb 'zzz'; verbs: {', '.join(VERBS)}"),
        (["--versoin"], "unknown flag '--versoin'; did you mean --version? (see: gluon-ssd --help)"),
        (["train", "--epoch", "3"], "unknown flag '--epoch'; did you mean --epochs, "),
        # Not that --weights is required, which it is.
        (["predict", "a.jpg", "--weight", "x"], "unknown flag '--weight'; did you mean --weights, "),
        (["predict", "a.jpg"], "the following arguments are required: --weights (see: gluon-ssd predict"),
        (["train", "--batch_size=3"], "unknown flag '--batch_size'; did you mean --batch-size, "),
        (["train", "coco128"], "unknown argument 'coco128' (see: gluon-ssd train --help)"),
        (["train", "--epochs", "x"], "argument --epochs: expected an integer, got 'x'"),
        (["train", "--epochs", "0"], "argument --epochs: must be at least 1, got 0"),
        (["train", "--lr", "nan"], "argument --lr: expected a number, got 'nan'"),
        (["train", "--precision", "fp8"], "argument --precision: must be one of fp32, amp, fp16, got 'fp8'"),
        (
            ["train", "--recipe", "ssd_tiny/smok", "--data", "x"],
            "unknown recipe 'ssd_tiny/smok'; did you mean ssd_tiny/smoke",
        ),
        (["train", "--recipe", "ssd_tiny/smoke"], "no data set; give its folder: --data "),
        (["train", "--resume"], "nothing to resume under runs/"),
        (["train", "--resume", "--output", "gone"], "gone: no recipe.yaml there, so nothing to resume"),
        (["predict", "--weights", "x"], "the following arguments are required: SOURCE"),
        (["predict", "a.jpg"], "the following arguments are required: --weights"),
        (
            ["predict", "a.jpg", "--weights", "x", "--score-threshold", "2"],
            "--score-threshold: must be less than 1",
        ),
        (["val"], "the following arguments are required: CHECKPOINT"),
        (["models", "ssd_tiny", "--jsn"], "unknown flag '--jsn'"),
        # As a path it would be the current folder.
        (["val", "run", "--data", ""], "nothing is given behind --data; is a variable of the shell not set?"),
        (["val", "run", "--data="], "nothing is given behind --data; "),
        (["models", ""], "nothing is given behind models; "),
        (["predict", "~nobody-of-this-name/a.jpg", "--weights", "x"], "a.jpg: no such file or folder"),
    ],
)
def test_mistakes_are_one_line_and_status_2(cli, arguments, message):
    result = cli(*arguments)
    assert result.status == 2
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_a_user_error_is_one_line(cli, failing_verb):
    failing_verb(UserError("photo.jpg: cannot be decoded"))
    assert cli("models") == (2, "", "error: photo.jpg: cannot be decoded\n")


def test_debug_shows_the_traceback(cli, failing_verb, monkeypatch):
    failing_verb(UserError("no"))
    monkeypatch.setenv("GLUON_SSD_DEBUG", "1")
    with pytest.raises(UserError):
        cli("models")


def test_ctrl_c_is_one_line(cli, failing_verb):
    failing_verb(KeyboardInterrupt())
    assert cli("models") == (130, "", "interrupted\n")


def test_ctrl_c_is_one_line_also_where_a_library_makes_another_error_of_it(cli, monkeypatch, sigint):
    """OpenCV's binary part makes an ImportError of it while it loads."""

    def load(args):
        try:
            signal.getsignal(signal.SIGINT)(signal.SIGINT, None)
        except KeyboardInterrupt:
            raise ImportError("numpy._core.multiarray failed to import") from None

    monkeypatch.setattr(models, "run", load)
    assert cli("models") == (130, "", "interrupted\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_one_line_also_while_the_command_line_loads(python):
    code = """
import sys
class Interrupting:
    def find_spec(self, name, *rest):
        if name == "gluon_ssd.cli.train":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from gluon_ssd.__main__ import main
sys.exit(main())
"""
    assert python(code) == (130, "", "interrupted\n")


def test_a_current_folder_that_was_deleted_is_told(cli, failing_verb, monkeypatch):
    failing_verb(FileNotFoundError(2, "No such file or directory"))
    with pytest.raises(FileNotFoundError):
        cli("models")

    def gone():
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("os.getcwd", gone)
    assert cli("models") == (2, "", "error: the current folder was deleted; change into one that is there\n")


@pytest.mark.skipif(sys.platform == "win32", reason="the shell of Windows closes no streams")
@pytest.mark.parametrize(
    ("verb", "closing", "outcome"),
    [
        ("models", ">&-", (0, "", "")),
        ("nosuch", "2>&-", (2, "", "")),
        ("predict - --weights x", "<&-", (2, "", "error: -: standard input names no image; ")),
    ],
)
def test_a_stream_that_is_closed_is_an_empty_one(tmp_path, verb, closing, outcome):
    command = f"{sys.executable} -m gluon_ssd {verb} {closing}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
    status, out, err = outcome
    assert (done.returncode, done.stdout) == (status, out) and done.stderr.startswith(err)
    assert done.stderr.count("\n") == bool(err)


def test_a_missing_package_is_one_line(cli, failing_verb):
    failing_verb(ModuleNotFoundError("No module named 'mxnet'", name="mxnet"))
    result = cli("models")
    assert result.status == 2
    assert result.err == f"error: mxnet is not installed; {mxnet_advice()}\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "/runs/a"), "error: /runs/a: Permission denied\n"),
        (OSError(28, "No space left on device"), "error: cannot write: No space left on device\n"),
        (FileNotFoundError(2, "No such file", "/a.jpg"), "error: /a.jpg: No such file\n"),
        (OSError(5, "Input/output error", "/runs/a"), "error: /runs/a: Input/output error\n"),
        (OSError(5, "Input/output error"), "error: cannot read or write: Input/output error\n"),
    ],
)
def test_a_place_that_cannot_be_written_or_is_gone_is_one_line(cli, failing_verb, error, message):
    failing_verb(error)
    assert cli("models") == (2, "", message)


def test_our_own_bugs_are_not_hidden(cli, failing_verb):
    failing_verb(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        cli("models")


def test_a_reader_that_leaves_is_no_error(python):
    code = (
        "import os, sys\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
        "from gluon_ssd.cli import main, models\n"
        "models.run = lambda args: print('a row') or 0\n"
        "sys.exit(main(['models']))"
    )
    assert python(code) == (141, "", "")


def test_flags_become_recipe_keys():
    given = flags("--batch-size", "4", "--decay-epochs", "3", "5", "--lr", "1e-3", "--resume", "--data", "d")
    assert given == {"batch_size": 4, "decay_epochs": [3, 5], "lr": 0.001, "resume": True, "data": "d"}


def test_flags_that_are_not_given_leave_the_recipe_alone():
    assert flags("--recipe", "ssd_tiny/smoke") == {}


def test_none_takes_back_what_a_recipe_says():
    given = flags("--target-map", "none", "--decay-epochs")
    recipe = resolve_recipe("ssd_resnet34/mlperf", given)
    assert (recipe.target_map, recipe.decay_epochs) == (None, ())


def test_flags_win_over_the_recipe_and_the_recipe_over_the_defaults():
    recipe = resolve_recipe("ssd_resnet34/smoke", flags("--epochs", "3", "--data", "d"))
    assert (recipe.epochs, recipe.batch_size, recipe.momentum) == (3, 8, 0.9)


def make_run(folder, **keys):
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(Recipe(model="ssd_tiny", data="shapes", **keys).to_yaml())


def test_resume_takes_the_recipe_of_the_run(cli, tmp_path):
    make_run(tmp_path / "mine", epochs=9)
    recipe = resolve_recipe(None, {"resume": True, "output": "mine", "workers": 1})
    assert (recipe.epochs, recipe.workers, recipe.resume, recipe.output) == (9, 1, True, "mine")


def test_resume_finds_the_latest_run_by_itself(cli, tmp_path):
    make_run(tmp_path / "runs" / "ssd_tiny-1", epochs=9)
    recipe = resolve_recipe(None, {"resume": True})
    assert (recipe.epochs, recipe.output) == (9, "runs/ssd_tiny-1")
    assert resolve_recipe("ssd_tiny/smoke", {"resume": True}).epochs == 9


def test_resume_of_nothing_starts_when_there_is_a_recipe(cli):
    assert resolve_recipe("ssd_tiny/smoke", {"resume": True}) == load_recipe(
        "ssd_tiny/smoke", {"resume": True}
    )


def test_resume_refuses_a_run_of_another_model(cli, tmp_path):
    make_run(tmp_path / "mine")
    with pytest.raises(UserError, match="^mine: holds a run of ssd_tiny, not of ssd_resnet34"):
        resolve_recipe("ssd_resnet34/smoke", {"resume": True, "output": "mine"})
