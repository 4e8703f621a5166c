"""The summary in DLLogger's format, line by line."""

import json

import pytest

from gluon_ssd import UserError, train

QUICK = {"batch_size": 4, "max_steps": None, "eval_every": 2, "limit_val": 2, "quiet": True}


def lines(path):
    found = []
    for text in path.read_text().splitlines():
        assert text.startswith("DLLL ")
        row = json.loads(text[len("DLLL ") :])
        assert list(row) == ["timestamp", "datetime", "elapsedtime", "type", "step", "data"]
        assert row["type"] == "LOG" and float(row["timestamp"]) > 0 and float(row["elapsedtime"]) >= 0
        found.append((row["step"], row["data"]))
    return found


def test_a_training_and_its_second_part_from_another_folder(shapes, tmp_path, monkeypatch):
    """Three batches an epoch; a loss every second step."""
    path, settings = tmp_path / "train.json", {**QUICK, "output": tmp_path / "run", "log_every": 2}
    settings.update(json_summary=path.name, batch_size=3)
    monkeypatch.chdir(tmp_path)
    result = train("ssd_tiny/smoke", data=shapes, epochs=2, **settings)
    (first, parameters), *rest = lines(path)
    assert first == "PARAMETER" and parameters["dataset path"] == str(shapes)
    assert (parameters["batch size"], parameters["eval on epochs"], parameters["AMP"]) == (3, [1], False)
    steps = [step for step, _ in rest]
    assert steps == [[0, 0], [0, 2], [0], [1, 4], [1], [1], [], []]
    assert [set(data) for _, data in rest][-4:] == [{"time"}, {"mAP"}, {"total time"}, {"mAP"}]
    assert rest[0][1]["loss"] > 1 and rest[-1][1]["mAP"] == result.best_map
    monkeypatch.chdir(shapes)
    train(data=shapes, resume=True, output=tmp_path / "run", epochs=3, quiet=True)
    added = lines(path)[9:]
    steps = [step for step, _ in added]
    assert steps == ["PARAMETER", [2, 6], [2, 8], [2], [2], [], []]


def test_a_clock_that_is_put_back_does_not_count(shapes, tmp_path, monkeypatch):
    path = tmp_path / "train.json"
    monkeypatch.setattr("time.time", lambda: 4e9)
    train("ssd_tiny/smoke", data=shapes, output=tmp_path / "run", json_summary=str(path), **QUICK, epochs=1)
    # No line has an elapsed time below 0.
    assert lines(path)[-2][1]["total time"] > 0


def test_a_folder_that_is_missing_is_told_before_anything_is_opened(shapes, tmp_path):
    path = str(tmp_path / "no/x.json")
    with pytest.raises(UserError, match="json_summary .*/no/x.json: there is no folder .*/no; make it"):
        train("ssd_tiny/smoke", data="none", output=tmp_path / "run", json_summary=path)


def test_a_file_that_cannot_be_written_is_one_sentence(shapes, tmp_path):
    with pytest.raises(UserError, match="cannot be written: Is a directory"):
        train("ssd_tiny/smoke", data=shapes, output=tmp_path / "run", json_summary=str(tmp_path), **QUICK)
