"""Names of splits, and images by names that are spelt otherwise than their files."""

import pytest

from gluon_ssd.data import finder
from gluon_ssd.data.finder import Finder
from gluon_ssd.data.splits import split_folders, split_in, split_of
from gluon_ssd.errors import UserError


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Train", "train"),
        ("TRAINING", "train"),
        ("train2017", "train"),
        ("trainval", "train"),
        ("valid", "val"),
        ("Validation", "val"),
        ("val2017", "val"),
        ("Test Set", "test"),
        ("holdout", None),
        ("default", None),
        ("retrain", None),
    ],
)
def test_a_name_means_a_split_whatever_its_case(name, split):
    assert split_of(name) == split


def test_the_split_among_the_words_of_a_file():
    assert split_in("instances_Validation") == "val"
    assert split_in("oidv6-train-annotations-bbox") == "train"
    assert split_in("train_or_val") is None and split_in("labels") is None


def test_of_several_folders_for_one_split_the_others_are_named(tmp_path):
    for name in ("val", "Validation", "train"):
        (tmp_path / name).mkdir()
    lines = []
    assert {split: path.name for split, path in split_folders(tmp_path, lines).items()} == {
        "train": "train",
        "val": "val",
    }
    assert lines == [f"{tmp_path / 'Validation'} is not used, since {tmp_path / 'val'} is the split 'val'"]


@pytest.mark.parametrize(
    ("there", "named"),
    [
        ("sub/a.jpg", "sub\\a.jpg"),
        ("my a.jpg", "my%20a.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("a.JPG", "a.jpg"),
        ("deep/er/a.jpg", "C:\\label-studio\\media\\a.jpg"),
        ("a.jpg", "../../upload/4/0a1b2c3d-a.jpg"),
        ("0a1b2c3d-a.jpg", "a.jpg"),
        ("a.jpg", "/a.jpg"),
    ],
)
def test_an_image_under_another_spelling(tmp_path, there, named):
    path = tmp_path / there
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    images = Finder([tmp_path], tmp_path)
    assert images.exact(named) is None
    assert images.find(named) == (path, True)
    assert images.find(there) == (path, False)
    assert images.find("b.jpg") is None


def test_the_folders_of_a_name_tell_images_apart(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").touch()
    images = Finder([tmp_path], tmp_path)
    assert images.find("gone/y\\a.jpg") == (tmp_path / "y" / "a.jpg", True)
    assert Finder([tmp_path / "x"], tmp_path).find("z/a.jpg") == (tmp_path / "x" / "a.jpg", True)
    with pytest.raises(
        UserError, match="x/a.jpg and y/a.jpg could both be the image that labels call 'a.jpg'"
    ):
        images.find("a.jpg")


@pytest.mark.parametrize("there", ["2020-0001.jpg", "20200101-0001.jpg"])
def test_names_that_begin_with_a_year_or_a_date_are_those_of_other_images(tmp_path, there):
    (tmp_path / there).touch()
    assert Finder([tmp_path], tmp_path).find("2019-0001.jpg") is None


def test_frames_of_many_videos_are_not_compared_with_each_other(tmp_path, monkeypatch):
    """They have the same names in every folder."""
    names = [f"{folder}\\{frame}.jpg" for folder in range(9) for frame in range(2)]
    for name in names:
        path = tmp_path / name.replace("\\", "/")
        path.parent.mkdir(exist_ok=True)
        path.touch()
    calls = []
    original = finder.plain_parts
    monkeypatch.setattr(finder, "plain_parts", lambda name: calls.append(name) or original(name))
    images = Finder([tmp_path], tmp_path)
    assert [images.find(name) for name in names] == [(tmp_path / n.replace("\\", "/"), True) for n in names]
    # Each once as a label has it and once as the disk has it.
    assert len(calls) == 2 * len(names)
