"""Models, recipes and sources that do not exist, through the command line."""

import pytest
from small import TRAIN, files, refused


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--model", "ssd_resnet43"), ["unknown model 'ssd_resnet43'", "did you mean ssd_resnet34"]),
        (("--recipe", "ssd_resnet34/smok"), ["unknown recipe 'ssd_resnet34/smok'", "ssd_resnet34/smoke"]),
        (("--recipe", "gone.yaml"), ["gone.yaml: no such recipe file"]),
        (("--device", "gpu"), ["MXNet sees no GPU here"]),
        (("--accumulate", "99"), ["fewer than accumulate (99)"]),
        (("--epochs", "2", "--start-epoch", "3"), ["start_epoch is 3, and the last epoch is 2"]),
        (("--weights", "gone.ckpt"), ["gone.ckpt: no such checkpoint"]),
        (("--val-annotation", "gone.json"), ["gone.json: an annotation file is expected here"]),
    ],
)
def test_nothing_is_made_before_the_mistake_is_found(cli, shapes, tmp_path, arguments, parts):
    refused(cli(*TRAIN, "--data", shapes, *arguments), *parts)
    assert files(tmp_path) == {}
    assert not (tmp_path / "run").exists()


def test_a_recipe_with_a_misspelt_key(cli, shapes, tmp_path):
    (tmp_path / "mine.yaml").write_text("model: ssd_tiny\nbatchsize: 4\n")
    refused(
        cli("train", "--recipe", "mine.yaml", "--data", shapes),
        "mine.yaml: unknown key 'batchsize'; did you mean batch_size",
    )


def test_a_recipe_of_an_unknown_model(cli, shapes, tmp_path):
    (tmp_path / "mine.yaml").write_text("model: ssd_tinny\n")
    refused(
        cli("train", "--recipe", "mine.yaml", "--data", shapes),
        "unknown model 'ssd_tinny'; did you mean ssd_tiny",
    )
    assert not (tmp_path / "runs").exists()


def test_a_misspelled_folder(cli, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "a.jpg").touch()
    hint = "; did you mean photos?"
    refused(cli("predict", "photo", "--weights", "x"), f"photo: no such file or folder{hint}")
    refused(cli("predict", "a.jpg", "--weights", "photo"), f"photo: no such checkpoint or run folder{hint}")
    train = ("train", "--recipe", "ssd_tiny/smoke", "--data", "photo")
    refused(cli(*train), f"data folder photo does not exist{hint}")
    refused(cli("check", "photo"), f"data folder photo does not exist{hint}")
    refused(cli("convert-data", "photo", "out"), f"photo: no such folder{hint}")
    refused(cli("convert", "photo", "a.params"), f"photo: no such file, checkpoint or run folder{hint}")
    refused(cli("report", "photo"), f"photo: is no folder{hint}")


def test_a_name_with_a_line_break_is_one_line_all_the_same(cli, tmp_path):
    refused(cli("predict", "a\nb.jpg", "--weights", "x"), "a b.jpg: no such file or folder")
