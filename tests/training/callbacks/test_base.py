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


class BatchRecorder(Recorder):
    """Writes down the batches, too."""

    def batch_started(self, batch):
        self.before = self.bias()
        self._note("batch_started", batch.epoch, batch.number)

    def batch_ended(self, batch, values):
        self.moved = (self.bias() != self.before).any()
        self._note("batch_ended", batch.epoch, batch.number, batch, dict(values), self.moved)

    def losses_read(self, batch, losses):
        self._note("losses_read", batch.epoch, batch.number, dict(losses))

    def bias(self):
        return self.info.net.predictors[0].conv.bias.data().asnumpy()

    def of(self, kind):
        return [event for event in self.events if event[0] == kind]


def test_batches_are_told_of_and_their_losses_while_the_next_is_trained(shapes, tmp_path):
    recorder = BatchRecorder()
    run(shapes, tmp_path, recorder, epochs=1, batch_size=3, eval_every=0)
    assert [event[:3] for event in recorder.events if event[0] not in ("started", "ended", "close")] == [
        ("epoch_started", 1),
        ("batch_started", 1, 0),
        ("batch_ended", 1, 0),
        ("batch_started", 1, 1),
        ("losses_read", 1, 0),
        ("batch_ended", 1, 1),
        ("batch_started", 1, 2),
        ("losses_read", 1, 1),
        ("batch_ended", 1, 2),
        ("losses_read", 1, 2),
        ("epoch_ended", 1),
    ]
    losses = [event[3]["loss"] for event in recorder.of("losses_read")]
    first, second, third = (event[4] for event in recorder.of("batch_ended"))
    assert "loss" not in first and first["images_per_second"] == 0
    assert second["loss"] == losses[0]
    assert third["loss"] == pytest.approx(sum(losses[:2]) / 2, rel=1e-6)
    assert recorder.values["loss"] == pytest.approx(sum(losses) / 3, rel=1e-6)
    assert third.keys() == recorder.values.keys()
    assert (recorder.info.batches, recorder.info.progress.step) == (3, 3)


def test_a_batch_tells_whether_it_makes_the_step(shapes, tmp_path):
    recorder = BatchRecorder()
    run(shapes, tmp_path, recorder, epochs=1, batch_size=2, accumulate=2, eval_every=0)
    ended = recorder.of("batch_ended")
    batches = [event[3] for event in ended]
    assert [batch.step for batch in batches] == [1, 1, 2, 2]
    assert [batch.updates for batch in batches] == [False, True, False, True]
    # What is read of the network when a batch has ended contains its update.
    assert [event[5] for event in ended] == [False, True, False, True]
    assert [event[4]["step"] for event in ended] == [0, 1, 1, 2]
    assert all(len(batch.data) == 2 and batch.lr > 0 for batch in batches)


@pytest.mark.parametrize("event", [("batch_started", 1, 1), ("batch_ended", 1, 1), ("losses_read", 1, 1)])
def test_an_exception_at_a_batch_ends_the_run_at_once(shapes, tmp_path, event):
    recorder = BatchRecorder(event)
    with pytest.raises(Broken):
        run(shapes, tmp_path, recorder)
    assert [kind for kind, *_ in recorder.events[-2:]] == [event[0], "close"]
    assert not (tmp_path / "checkpoints/last.ckpt").exists()


def test_all_scores_of_an_evaluation(shapes, tmp_path):
    """``scored`` is told of them; who overrides ``evaluated`` alone has the mAP."""

    class Scored(Recorder):
        def scored(self, epoch, scores):
            self._note("scored", epoch, scores)

    every, simple = Scored(), Recorder()
    result = run(shapes, tmp_path, every, simple, epochs=1)
    ((_, _, scores),) = (event for event in every.events if event[0] == "scored")
    row = result.metrics[0]
    assert (row["map"], row["ap50"]) == pytest.approx((scores.map, scores.stats["ap50"]), abs=1e-5)
    assert len(scores.stats) == 12
    assert tuple(each.name for each in scores.classes) == every.info.net.classes
    assert ("evaluated", 1, scores.map) in simple.events
    assert "evaluated" not in [event[0] for event in every.events]


def test_ours_have_written_an_epoch_when_the_users_are_told(shapes, tmp_path):
    class Reader(Callback):
        def started(self, info):
            self.path, self.found = info.run_dir / "metrics.csv", []

        def epoch_ended(self, epoch, values):
            self.found.append(len(self.path.read_text().splitlines()))

    reader = Reader()
    run(shapes, tmp_path, reader, eval_every=0)
    assert reader.found == [2, 3]


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
