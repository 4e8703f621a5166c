import os

from gluon_ssd.runs import latest_run, make_run_dir


def make_run(root, name, age):
    run = root / name
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text("model: ssd_tiny\n")
    for path in (run / "recipe.yaml", run):
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return run


def test_the_first_run_is_number_one(tmp_path):
    assert make_run_dir("ssd_tiny", tmp_path / "runs") == tmp_path / "runs" / "ssd_tiny-1"


def test_the_next_run_is_one_above_the_highest(tmp_path):
    for name in ("ssd_tiny-2", "ssd_tiny-10", "ssd_tiny-x", "ssd_resnet34-30", "ssd_tiny"):
        (tmp_path / name).mkdir()
    assert make_run_dir("ssd_tiny", tmp_path) == tmp_path / "ssd_tiny-11"


def test_the_latest_run_is_the_one_written_to_last(tmp_path):
    older = make_run(tmp_path, "ssd_tiny-2", age=50)
    newer = make_run(tmp_path, "ssd_tiny-1", age=10)
    other = make_run(tmp_path, "ssd_resnet34-1", age=0)
    (tmp_path / "ssd_tiny-3").mkdir()
    assert latest_run("ssd_tiny", tmp_path) == newer
    assert latest_run(root=tmp_path) == other
    checkpoints = older / "checkpoints"
    checkpoints.mkdir()
    assert latest_run(root=tmp_path) == older


def test_no_run_at_all(tmp_path):
    assert latest_run(root=tmp_path / "runs") is None
