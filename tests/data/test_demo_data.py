"""``gluon-ssd demo``: the data set alone, and what it says at its end."""

import pytest
from small import refused

from gluon_ssd import demo
from gluon_ssd.data import open_dataset
from gluon_ssd.machine import OtherPrograms
from gluon_ssd.training.train import TrainResult


def test_only_the_data_set_is_made(cli, tmp_path):
    outcome = cli("demo", "--data-only", "here", "--images", 11, "--seed", 3)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == "making 11 pictures of shapes in here ...\n"
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert [len(open_dataset(tmp_path / "here", split)) for split in ("train", "val")] == [9, 2]


def test_what_is_somebody_elses_stays(cli, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_bytes(b"x")
    refused(cli("demo", "--data-only", "mine", "--images", 5), "mine holds files of someone else")
    refused(cli("demo", "--data-only", "new", "--images", 4), "--images", "at least 5")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("share", "told"), [(0.2, False), (0.553, True)])
def test_it_says_that_the_machine_was_busy(cli, tmp_path, monkeypatch, share, told):
    monkeypatch.setattr(OtherPrograms, "share", lambda self: share)
    result = TrainResult(tmp_path, 0.5, 1, False)
    monkeypatch.setattr("gluon_ssd.training.train.run_training", lambda recipe: result)
    monkeypatch.setattr(demo, "_draw", lambda *folders: [])
    outcome = cli("demo", "--images", 5)
    assert (outcome.status, outcome.err) == (0, "")
    line = "the machine was busy: other programs took 55% of the processor's time; "
    assert (line in outcome.out) == ("busy" in outcome.out) == told
