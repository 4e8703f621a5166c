"""The demo with as few pictures as it takes, which do not fill a batch of its recipe."""

import pytest


@pytest.mark.once
def test_the_fewest_pictures(cli, tmp_path):
    outcome = cli("demo", "--images", 5, "--epochs", 1)
    assert (outcome.status, outcome.err) == (0, "")
    assert (tmp_path / "runs/demo/pictures/detections.jpg").is_file()
