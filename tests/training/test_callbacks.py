"""Callbacks: what they are told, in which order, and what becomes of the run when one raises."""

import pytest

from gluon_ssd import Callback, UserError, train
from gluon_ssd.training.callbacks import CallbackList
from gluon_ssd.weights.checkpoint import read_checkpoint

QUICK = {"batch_size": 4, "max_steps": None, "epochs": 2, "eval_every": 1, "limit_val": 2}


class Recorder(Callback):
    """Writes down what it is told, and raises at one of its events."""

    def __init__(self, fails=None):
        self.events, self.fails = [], fails

    def _note(self, *event):
        self.events.append(event)
        if event[: len(self.fails or "never")] == self.fails:
            raise Broken(*event)

    def started(self, info):
        self.info = info
        self._note("started")

    def epoch_started(self, epoch):
        self._note("epoch_started", epoch)

    def epoch_ended(self, epoch, values):
        self.values = dict(values)
        self._note("epoch_ended", epoch)

    def evaluation_started(self, epoch):
        self._note("evaluation_started", epoch)

    def evaluated(self, epoch, score):
        self._note("evaluated", epoch, score)

    def ended(self, reached):
        self._note("ended", reached)

    def close(self):
        self._note("close")


class Broken(Exception):
    pass


def run(data, output, *callbacks, **changes):
    return train(
        "ssd_tiny/smoke", data=data, output=output, callbacks=callbacks, quiet=True, **{**QUICK, **changes}
    )


def test_every_event_in_order_with_its_values(shapes, tmp_path):
    recorder = Recorder()
    result = run(shapes, tmp_path, recorder)
    scores = [pytest.approx(row["map"], abs=1e-5) for row in result.metrics]
    kinds = ["epoch_started", "epoch_ended", "evaluation_started", "evaluated"]
    expected = [(kind, epoch) for epoch in (1, 2) for kind in kinds]
    assert [event[:2] for event in recorder.events] == [("started",), *expected, ("ended", False), ("close",)]
    assert [event[2] for event in recorder.events if event[0] == "evaluated"] == scores
    info = recorder.info
    assert (info.run_dir, info.recipe.epochs, info.net.model_name) == (tmp_path, 2, "ssd_tiny")
    assert (info.train_images, info.val_images) == (10, 2)
    assert (info.rank, info.processes, info.resumed) == (0, 1, False)
    last = result.metrics[-1]
    for name in ("step", "lr", "loss", "cls_loss", "box_loss", "images_per_second", "wait_share", "seconds"):
        assert recorder.values[name] == pytest.approx(last[name], rel=1e-4), name


@pytest.mark.parametrize("event", [("started",), ("epoch_started", 1), ("evaluation_started", 1), ("ended",)])
def test_an_exception_ends_the_run_as_it_is(shapes, tmp_path, event):
    other, recorder = Recorder(), Recorder(event)
    with pytest.raises(Broken) as caught:
        run(shapes, tmp_path, other, recorder)
    assert caught.value.args[: len(event)] == event
    assert recorder.events[-2][: len(event)] == event
    assert recorder.events[-1] == other.events[-1] == ("close",)


def test_an_epoch_is_in_the_checkpoint_before_its_exception_ends_the_run(shapes, tmp_path):
    recorder, other = Recorder(("epoch_ended", 1)), Recorder()
    with pytest.raises(Broken):
        run(shapes, tmp_path, recorder, other)
    assert other.events[-2:] == [("epoch_ended", 1), ("close",)]
    assert read_checkpoint(tmp_path / "checkpoints/last.ckpt").progress.epoch == 2
    again = Recorder()
    run(shapes, tmp_path, again, resume=True)
    assert again.info.resumed
    assert [event[:2] for event in again.events[1:4]] == [
        ("evaluation_started", 1),
        ("evaluated", 1),
        ("epoch_started", 2),
    ]


def test_the_best_network_is_kept_before_an_exception_after_its_evaluation(shapes, tmp_path):
    with pytest.raises(Broken):
        run(shapes, tmp_path, Recorder(("evaluated", 1)))
    for name in ("best", "last"):
        progress = read_checkpoint(tmp_path / f"checkpoints/{name}.ckpt").progress
        assert (progress.best_epoch, progress.evaluated) == (1, 2)
    assert (tmp_path / "val/scores.json").is_file()
    again = Recorder()
    run(shapes, tmp_path, again, resume=True)
    assert again.events[1] == ("epoch_started", 2)


def test_an_exception_after_an_evaluation_that_is_scored_aside(shapes, tmp_path):
    with pytest.raises(Broken):
        run(shapes, tmp_path, Recorder(("evaluated", 1)), async_val=True)
    assert read_checkpoint(tmp_path / "checkpoints/last.ckpt").progress.best_epoch == 1
    assert read_checkpoint(tmp_path / "checkpoints/best.ckpt").progress.best_epoch == 1


def test_callbacks_are_closed_where_nothing_could_be_trained(shapes, tmp_path):
    recorder = Recorder()
    with pytest.raises(UserError, match="nowhere does not exist"):
        run(tmp_path / "nowhere", tmp_path / "run", recorder)
    assert recorder.events == [("close",)]


def test_all_are_closed_and_the_first_exception_is_told():
    first, second, third = Recorder(("close",)), Recorder(("close",)), Recorder()
    told = CallbackList([first, second, third])
    with pytest.raises(Broken):
        told.close()
    assert [each.events for each in (first, second, third)] == [[("close",)]] * 3


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (Recorder(), "callbacks must be a list, got a Recorder; write callbacks=[...]"),
        (Recorder, "callbacks must be a list, got the class Recorder; write callbacks=[...]"),
        (None, "callbacks must be a list, got a NoneType; write callbacks=[...]"),
        ([Recorder], "callbacks must be instances of gluon_ssd.Callback, got the class Recorder"),
        ([print], "callbacks must be instances of gluon_ssd.Callback, got a builtin_function_or_method"),
    ],
)
def test_what_is_no_callback(shapes, tmp_path, callbacks, message):
    with pytest.raises(UserError) as caught:
        train("ssd_tiny/smoke", data=shapes, output=tmp_path / "run", callbacks=callbacks)
    assert str(caught.value) == message
    assert not (tmp_path / "run").exists()
