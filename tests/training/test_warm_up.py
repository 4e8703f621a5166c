"""Work before the run: it happens before the clock starts, and nothing of it is in the run."""

import mxnet as mx
import numpy as np
import pytest

from gluon_ssd import Callback, train
from gluon_ssd.tensor_files.archive import read_archive
from gluon_ssd.training import warm_up
from gluon_ssd.training.step import TrainStep

QUICK = {"batch_size": 4, "max_steps": None, "epochs": 2, "eval_every": 2, "quiet": True}


class Watch(Callback):
    """Writes down the images in the order in which they come, and MXNet's next random number."""

    def __init__(self):
        self.images = []

    def started(self, info):
        self.random = mx.nd.random.uniform(shape=(3,)).asnumpy()

    def batch_started(self, batch):
        self.images.append(batch.data.image_ids.tolist())


def results(shapes, output, **changes):
    watch = Watch()
    train("ssd_tiny/smoke", data=shapes, output=output, callbacks=[watch], **{**QUICK, **changes})
    arrays, state = read_archive(output / "checkpoints/last.ckpt")
    return watch, arrays, state["progress"]


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2, "precision": "amp", "dynamic_loss_scale": True}])
def test_a_run_after_it_is_the_same_to_the_last_bit(shapes, tmp_path, changes):
    watch, arrays, progress = results(shapes, tmp_path / "cold", **changes)
    warmed, others, other = results(shapes, tmp_path / "warm", model_warmup=2, **changes)
    assert (warmed.images, other) == (watch.images, progress)
    np.testing.assert_array_equal(warmed.random, watch.random)
    assert [name for name in arrays if arrays[name].tobytes() != others[name].tobytes()] == []


def test_it_trains_and_detects_before_the_callbacks_hear_of_the_run(shapes, tmp_path, monkeypatch):
    """MLPerf's log is such a callback: its run_start comes with ``started``."""
    events = []

    class Ear(Callback):
        def started(self, info):
            events.append("started")

        def evaluation_started(self, epoch):
            events.append("evaluation")

    def noted(event, function):
        def wrapped(*args, **kwargs):
            events.append(event)
            return function(*args, **kwargs)

        return wrapped

    monkeypatch.setattr(TrainStep, "__call__", noted("step", TrainStep.__call__))
    monkeypatch.setattr(warm_up, "_detect", noted("detect", warm_up._detect))
    settings = {**QUICK, "epochs": 1, "eval_every": 1, "model_warmup": 3}
    train("ssd_tiny/smoke", data=shapes, output=tmp_path / "run", callbacks=[Ear()], **settings)
    assert events == ["step"] * 3 + ["detect", "started"] + ["step"] * 2 + ["evaluation"]
