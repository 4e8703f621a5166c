"""Real images, through the whole of training and evaluation."""

import json

import pytest

pytestmark = pytest.mark.once


@pytest.mark.usefixtures("drawn_plots")
def test_the_smoke_recipe_runs_on_real_images(cli, coco128, tmp_path):
    run = tmp_path / "run"
    done = cli(
        *("train", "--recipe", "ssd_resnet34/smoke", "--data", coco128, "--output", run),
        *("--max-steps", 2, "--limit-val", 5, "--workers", 2),
    )
    assert done.status == 0, done.err
    assert "5 images evaluated" in done.out
    scores = json.loads((run / "val" / "scores.json").read_text())
    assert scores["images"] == 5 and len(scores) == 15
    for name in ("recipe.yaml", "metrics.csv", "metrics.png", "train_batch.jpg", "checkpoints/last.ckpt"):
        assert (run / name).stat().st_size > 0
