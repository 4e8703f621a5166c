"""The picture of a run's first batch."""

from types import SimpleNamespace

import pytest

from gluon_ssd.training.callbacks import batch_picture
from gluon_ssd.training.callbacks.base import TrainBatch


@pytest.mark.parametrize(("resumed", "drawn"), [(False, ["first"]), (True, [])])
def test_the_first_batch_of_a_run_is_drawn_whatever_its_epoch(monkeypatch, tmp_path, resumed, drawn):
    """A run may begin with a later epoch, by start_epoch; one that goes on has its picture already."""
    found = []
    monkeypatch.setattr(batch_picture, "write_batch_picture", lambda data, net, path: found.append(data))
    picture = batch_picture.BatchPicture()
    picture.started(SimpleNamespace(net=None, run_dir=tmp_path, resumed=resumed))
    for number, data in enumerate(["first", "second"]):
        picture.batch_started(TrainBatch(3, number, number + 1, 0.1, True, data))
    assert found == drawn
