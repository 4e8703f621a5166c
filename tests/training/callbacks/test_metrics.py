import csv

import pytest

from gluon_ssd.errors import UserError
from gluon_ssd.training.callbacks.metrics import MetricsFile

LOSSES = ("loss", "cls_loss", "box_loss")
COLUMNS = "epoch,step,lr,loss,cls_loss,box_loss,images_per_second,wait_share,seconds,map,ap50"


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_grows_and_rows_are_in_order(tmp_path):
    path = tmp_path / "metrics.csv"
    metrics = MetricsFile(path, LOSSES)
    metrics.write(2, {"loss": 1.23456789})
    metrics.write(1, {"loss": 2, "lr": 1e-5})
    metrics.write(2, {"map": 0.5})
    found = rows(path)
    assert ",".join(found[0]) == COLUMNS
    assert [(row["epoch"], row["loss"], row["lr"], row["map"]) for row in found] == [
        ("1", "2", "1e-05", ""),
        ("2", "1.23457", "", "0.5"),
    ]


def test_rows_beyond_the_checkpoint_go(tmp_path):
    path = tmp_path / "metrics.csv"
    for epoch in (1, 2, 3):
        MetricsFile(path, LOSSES, epoch - 1).write(epoch, {"loss": epoch})
    MetricsFile(path, LOSSES, last_epoch=1).write(2, {"map": 0.25})
    assert [(row["epoch"], row["loss"], row["map"]) for row in rows(path)] == [
        ("1", "1", ""),
        ("2", "", "0.25"),
    ]


def test_an_old_file_stays_until_there_is_something_to_write(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss\n1,5\nx,y\n")
    MetricsFile(path, LOSSES)
    assert path.read_text() == "epoch,loss\n1,5\nx,y\n"
    MetricsFile(path, LOSSES, last_epoch=1).write(2, {"loss": 4})
    assert [(row["epoch"], row["loss"]) for row in rows(path)] == [("1", "5"), ("2", "4")]


def test_a_folder_that_is_gone(tmp_path):
    with pytest.raises(UserError, match="metrics.csv: cannot be written: No such file"):
        MetricsFile(tmp_path / "gone" / "metrics.csv", LOSSES).write(1, {})


def test_a_step_keeps_its_digits(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.csv", LOSSES)
    metrics.write(1, {"step": 1234567, "loss": 1.23456789})
    assert [(row["step"], row["loss"]) for row in rows(tmp_path / "metrics.csv")] == [("1234567", "1.23457")]
