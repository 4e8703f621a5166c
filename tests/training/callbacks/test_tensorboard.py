"""What TensorBoard itself reads from the files of a training."""

import sys

import pytest

from gluon_ssd import UserError, train


def read(folder):
    """The tags of all event files of a folder, and the steps and values of their scalars."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason='needs pip install "gluon_ssd[tensorboard]"',
    )
    sizes = {"scalars": 0, "images": 0, "tensors": 0}
    events = accumulator.EventAccumulator(str(folder), sizes)
    events.Reload()
    scalars = {
        tag: [(row.step, row.value) for row in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }
    return events.Tags(), scalars


@pytest.mark.once
def test_a_training_and_its_second_part(shapes, tmp_path):
    pytest.importorskip("tensorboardX", reason='needs pip install "gluon_ssd[tensorboard]"')
    settings = {"batch_size": 4, "max_steps": None, "eval_every": 1, "log_every": 1, "quiet": True}
    run = tmp_path / "run"
    result = train("ssd_tiny/smoke", data=shapes, output=run, epochs=1, tensorboard=True, **settings)
    tags, scalars = read(run / "tensorboard")
    assert [step for step, _ in scalars["train/loss"]] == [1, 2]
    assert scalars["val/map"] == [(2, pytest.approx(result.best_map))]
    assert scalars["epoch/loss"][0][1] == pytest.approx(result.metrics[0]["loss"], rel=1e-5)
    assert set(tags["images"]) == {"train/batch", "val/predictions"}
    assert "precision_recall/all_classes" in tags["tensors"]
    train(output=run, resume=True, epochs=2, quiet=True)
    _, scalars = read(run / "tensorboard")
    assert [step for step, _ in scalars["train/loss"]] == [1, 2, 3, 4]


def test_without_the_package_nothing_starts(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.delitem(sys.modules, "gluon_ssd.training.callbacks.tensorboard", raising=False)
    with pytest.raises(UserError, match=r'tensorboardX is not installed; pip install "gluon_ssd\[tensorb'):
        train("ssd_tiny/smoke", data="none", output=tmp_path / "run", tensorboard=True)


@pytest.mark.parametrize("full_from", ["first", "last"])
def test_a_full_disk_is_told_once(monkeypatch, tmp_path, capfd, full_from):
    pytest.importorskip("tensorboardX", reason='needs pip install "gluon_ssd[tensorboard]"')
    from gluon_ssd.training.callbacks.tensorboard import TensorBoardLog

    log = TensorBoardLog()
    log._open(tmp_path)
    events = log._writer.file_writer.event_writer
    file = events._ev_writer._py_recordio_writer

    def full(*data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file, "flush", full)
    told = pytest.raises(UserError, match="cannot be written: No space left on device")
    if full_from == "first":
        monkeypatch.setattr(file, "write", full)
        # More than the queue of tensorboardX takes, which nobody empties any more.
        for step in range(30):
            with told:
                log._scalars({"train/loss": 1.0}, step)
    with told:
        log.close()
    events.close()  # as Python does at its end
    assert "Traceback" not in capfd.readouterr().err


def test_names_of_any_script_stay_apart():
    pytest.importorskip("tensorboardX", reason='needs pip install "gluon_ssd[tensorboard]"')
    from gluon_ssd.training.callbacks.tensorboard import _tag

    assert [_tag(name) for name in ("\u732b", "\u72d7", "big cat")] == ["\u732b", "\u72d7", "big_cat"]
