"""``gluon-ssd demo --data-only``: just the data set."""

from small import refused

from gluon_ssd.data import open_dataset


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
