"""The short examples run as their first lines say, on few small pictures."""

import importlib.util
import json
import re
import sys

import mxnet as mx
import numpy as np
import pytest
from own_zoo import own_zoo
from places import REPOSITORY

from gluon_ssd.data.video import Video, VideoWriter

EXAMPLES = REPOSITORY / "examples"
# What teaches one thing is short; a whole backbone, family or format is not.
WHOLE = {"backbone.py", "fcos.py", "format.py"}


@pytest.fixture
def start(tmp_path, monkeypatch, capfd):
    """Start an example as its own program, in an empty folder; returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        code = compile((EXAMPLES / name).read_text(encoding="utf-8"), str(EXAMPLES / name), "exec")
        capfd.readouterr()
        exec(code, {"__name__": "__main__"})
        return capfd.readouterr().out

    return run


@pytest.fixture
def photo(shapes):
    return min((shapes / "val").glob("*.jpg"))


def test_every_example_is_listed_says_how_to_start_it_and_is_short():
    page = (REPOSITORY / "docs/examples.md").read_text(encoding="utf-8")
    for path in sorted(EXAMPLES.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert f"[{path.name}](../examples/{path.name})" in page
        assert re.search(rf"^    .*examples/{path.stem}\.(py|yaml)", text, re.M), path
        assert len(text.splitlines()) <= 60 or path.name in WHOLE, path


def test_detect(start, small_run, photo, tmp_path):
    out = start("detect.py", small_run, photo, "--score", 0.01)
    assert out.startswith(f"{photo}: ")
    assert re.search(r"^  \w+ 0\.\d\d from \(\d+, \d+\) to \(\d+, \d+\)$", out, re.M)
    assert (tmp_path / "found" / photo.name).is_file()


def test_detect_tells_mistakes_in_one_line(start):
    with pytest.raises(SystemExit, match="^error: gone"):
        start("detect.py", "gone", "photo.jpg")


@pytest.mark.once
def test_train(start, shapes, tmp_path):
    out = start("train.py", shapes, "--epochs", 1)
    assert re.search(r"^epoch 1: loss \d+\.\d\d, mAP \d\.\d\d\d$", out, re.M)
    assert out.splitlines()[-1].startswith("found.jpg: ")
    assert (tmp_path / "runs/example/checkpoints/best.ckpt").is_file()


def test_export_onnx(start, small_run, photo, tmp_path):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason='needs: pip install "gluon_ssd[onnx]"')
    out = start("export_onnx.py", small_run, photo)
    assert out.startswith("model.onnx: ONNX")
    box = json.loads(re.findall(r"^\w+ 0\.\d\d at (\[.*\])$", out, re.M)[0])
    assert len(box) == 4 and (tmp_path / "model.onnx").is_file()


def test_video(start, small_run, tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (6, 48, 64, 3)).astype(np.uint8)
    with VideoWriter(tmp_path / "street.mp4", 3) as writer:
        for frame in pixels:
            writer.write(frame)
    out = start("video.py", small_run, "street.mp4", "found.mp4", "--score", 0.01)
    assert [line.split(":")[0] for line in out.splitlines()] == ["second 1", "second 2", "found.mp4"]
    video = Video(tmp_path / "found.mp4")
    assert len(list(video.frames())) == 6
    video.close()


def test_own_loss_by_hand():
    spec = importlib.util.spec_from_file_location("own_loss", EXAMPLES / "own_loss.py")
    module = importlib.util.module_from_spec(spec)
    with own_zoo():
        spec.loader.exec_module(module)
    # Two default boxes: an object that is given a share of 1/2, and background that is given 3/4.
    logits = mx.nd.array([[[0, 0], [np.log(3), 0]]])
    deltas = mx.nd.array([[[1, 0, 0, 0.5], [9, 9, 9, 9]]])
    targets = mx.nd.array([[1, 0]]), mx.nd.zeros((1, 2, 4))
    loss, cls_loss, box_loss = module.SoftmaxFocalLoss()(logits, deltas, *targets)
    assert cls_loss.asscalar() == pytest.approx(0.25 * np.log(2) + 0.0625 * np.log(4 / 3), rel=1e-5)
    # Smooth L1: 1 - 1/2 and 0.5 * 0.5 ** 2.
    assert box_loss.asscalar() == pytest.approx(0.625)
    assert loss.asscalar() == pytest.approx(cls_loss.asscalar() + box_loss.asscalar())


def test_own_loss_trains(cli, shapes, tmp_path):
    flags = ("--batch-size", 2, "--max-steps", 2, "--eval-every", 0, "--data", shapes, "--output", "run")
    plugin = ("--plugin", EXAMPLES / "own_loss.py", "--model", "ssd_tiny_focal")
    with own_zoo():
        outcome = cli("train", "--recipe", "ssd_tiny/smoke", *flags, *plugin)
    assert outcome.status == 0, outcome
    assert "cls_loss" in (tmp_path / "run/metrics.csv").read_text()
