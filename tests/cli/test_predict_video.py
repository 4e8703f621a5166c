"""``predict`` on videos, on cameras and on lists, with a network that has hardly learned."""

import io
import json
import os
import re
import shutil
import sys
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from small import refused

from gluon_ssd.data.video import Video, VideoWriter
from gluon_ssd.detections import Detections
from gluon_ssd.files import unwritable
from gluon_ssd.outputs.coco import Numbering
from gluon_ssd.outputs.results import Results
from gluon_ssd.outputs.tracker import Tracker
from gluon_ssd.prediction import Prediction

LOW = ("--score-threshold", 0.05)


@pytest.fixture
def clip(tmp_path):
    """A video of 7 frames of noise."""
    with VideoWriter(tmp_path / "clip.mp4", 10) as writer:
        for seed in range(7):
            writer.write(np.random.default_rng(seed).integers(0, 255, (96, 128, 3)).astype(np.uint8))
    return tmp_path / "clip.mp4"


def test_a_video_among_images(cli, small_run, shapes, clip, tmp_path):
    image = next((shapes / "val").iterdir())
    result = cli("predict", clip, image, "--weights", small_run, "--output", "out", *LOW)
    assert (result.status, result.err) == (0, "")
    assert f"{clip}: 7 frames, " in result.out
    assert result.out.splitlines()[-1].startswith("1 images, 7 frames, ")
    video = Video(tmp_path / "out/videos/clip.mp4")
    assert (len(list(video.frames())), video.rate) == (7, 10)
    content = json.loads((tmp_path / "out/detections.json").read_text())
    assert [row.get("frame") for row in content["images"]] == [None, 0, 1, 2, 3, 4, 5, 6]
    assert len({row["id"] for row in content["images"]}) == 8


def test_timing(cli, small_run, shapes, clip):
    parts = r"reading [\d.]+ ms, network [\d.]+ ms, post-processing [\d.]+ ms"
    for source, count in ((shapes / "val", 4), (clip, 7)):
        result = cli("predict", source, "--weights", small_run, "--timing", "--save", "csv", *LOW)
        assert (result.status, result.err) == (0, "")
        assert re.search(rf"^timing of an image, {count} at a time: {parts}$", result.out, re.MULTILINE)


def test_every_third_frame_and_no_video(cli, small_run, clip, tmp_path):
    flags = ("--every", 3, "--save", "csv", "yolo", "--output", "out")
    assert cli("predict", clip, "--weights", small_run, *flags, *LOW).status == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["detections.csv", "yolo"]
    assert len(list((tmp_path / "out/yolo/images").iterdir())) == 3


def test_a_list_on_standard_input(cli, small_run, shapes, tmp_path, monkeypatch):
    images = sorted((shapes / "val").iterdir())[:2]
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{path}\n" for path in images)))
    assert cli("predict", "-", "--weights", small_run, *LOW).out.splitlines()[-1].startswith("2 images, ")
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert cli("predict", "-", "--weights", small_run).err == (
        "error: -: standard input names no image; give one path on each line\n"
    )


def test_a_video_that_cannot_be_written_ends_it_all(cli, small_run, clip, tmp_path, monkeypatch):
    def full(writer, pixels):
        raise unwritable(writer.path, OSError(28, "No space left on device"))

    monkeypatch.setattr("gluon_ssd.prediction.VideoWriter.write", full)
    shutil.copy(clip, tmp_path / "other.mp4")
    done = cli("predict", clip, "other.mp4", "--weights", small_run, "--output", "out")
    refused(done, f"out/videos/{clip.stem}.mp4: cannot be written: No space left on device")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text(cli, small_run, shapes, clip, tmp_path):
    """OpenCV would end the process by a segmentation fault."""
    image, video = (tmp_path / os.fsdecode(b"a\xff" + suffix) for suffix in (b".jpg", b".mp4"))
    shutil.copy(next((shapes / "val").iterdir()), image)
    shutil.copy(clip, video)
    kinds = ("--save", "json", "csv", "labelme")
    result = cli("predict", image, video, "--weights", small_run, *kinds, "--output", "out", *LOW)
    assert result.status == 2 and result.out.splitlines()[-1].startswith("1 images, ")
    assert result.err.endswith(".mp4: OpenCV takes no name that is not UTF-8; rename it\n")
    assert "a\\udcff.jpg," in (tmp_path / "out/detections.csv").read_text(encoding="utf-8")
    (label,) = (tmp_path / "out/labelme").glob("*.json")
    assert json.loads(label.read_text(encoding="utf-8"))["imagePath"] == image.name


def test_damaged_videos_are_told_and_the_others_looked_at(cli, small_run, clip, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    result = cli("predict", "bad.mp4", clip, "--weights", small_run, *LOW)
    assert (result.status, result.err) == (2, "error: bad.mp4: not a video that OpenCV can decode\n")
    assert result.out.splitlines()[-1].startswith("7 frames, ")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["clip.mp4", "--annotation", "a.json"], "--annotation: has ids of images"),
        (["clip.mp4", "--show"], "--show: there is no display here"),
        (["photo.png", "--track"], "--track: is for videos and cameras"),
        (["photo.png", "--show"], "--show: is for videos and cameras"),
        (["photo.png", "--every", 3], "--every: is for videos and cameras"),
        (["camera:98"], "camera 98: cannot be opened"),
    ],
)
def test_what_cannot_be(cli, small_run, clip, tmp_path, monkeypatch, flags, message):
    from PIL import Image
    from small import picture

    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    Image.fromarray(picture(64, 48)).save(tmp_path / "photo.png")
    result = cli("predict", *flags, "--weights", small_run)
    assert result.status == 2
    assert result.err.startswith(f"error: {message}") and result.err.count("\n") == 1
    # Whether there is such a camera is only seen once it is opened.
    assert not list(tmp_path.glob("runs/predict*")) or flags == ["camera:98"]


class Finder:
    """Stands for a detector: finds one box on every picture, and remembers which pictures are in memory."""

    batch_size, classes, category_ids = 2, ("cat",), ()

    def __init__(self, stop_at=None):
        self.alive, self.most, self.stop_at = weakref.WeakSet(), 0, stop_at

    def stream(self, images):
        for number, pixels in enumerate(images):
            if number == self.stop_at:
                raise KeyboardInterrupt
            held = pixels.view(Held)
            self.alive.add(held)
            self.most = max(self.most, len(self.alive))
            box = np.array([[1, 2, 30, 40]], np.float32)
            yield Detections(box, np.array([0.9], np.float32), np.zeros(1, int), self.classes, held)


class Held(np.ndarray):
    """An array that can be asked for while it is alive."""

    __hash__ = object.__hash__


def job(finder, folder, **options):
    return Prediction(finder, Results(folder, ["images", "json"], Numbering([], finder, None)), **options)


def test_a_long_video_takes_no_more_memory_than_a_short_one(tmp_path):
    with VideoWriter(tmp_path / "long.mp4", 10) as writer:
        for _ in range(100):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    finder = Finder()
    run = job(finder, tmp_path / "out")
    run.videos([tmp_path / "long.mp4"], ["long"])
    assert run.counts["frames"] == 100
    assert finder.most < 20


@pytest.mark.parametrize(("last", "failed"), [(1.9, 0), (0.6, 1)])
def test_a_video_of_a_rate_that_varies_is_whole_at_its_end(clip, tmp_path, monkeypatch, last, failed):
    """A format without a number of frames has OpenCV guess 20 of 2 seconds."""

    class Varying(Video):
        def __init__(self, source):
            super().__init__(source)
            self.count = 20

        def _seconds(self, number):
            return last if number == 6 else 0.1 * number

    monkeypatch.setattr("gluon_ssd.prediction.Video", Varying)
    run = job(Finder(), tmp_path / "out")
    run.videos([clip], ["clip"])
    assert (run.counts["frames"], run.failed) == (7, failed)


def test_what_is_found_until_ctrl_c_is_kept(clip, tmp_path):
    run = job(Finder(stop_at=6), tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run.videos([clip], ["clip"])
    run.results.close()
    frames = len(json.loads((tmp_path / "out/detections.json").read_text())["images"])
    assert 0 < frames < 7
    assert len(list(Video(tmp_path / "out/videos/clip.mp4").frames())) == frames


def test_things_keep_their_numbers(tmp_path):
    """Two boxes that move, of which the second is gone for a frame."""
    supervision = pytest.importorskip("supervision", reason='needs pip install "gluon_ssd[tracking]"')
    if not hasattr(supervision, "ByteTrack"):
        pytest.skip('supervision has no ByteTrack: pip install "gluon_ssd[tracking]"')
    tracker, numbers = Tracker(10), []
    for frame in range(6):
        right, up = 5 * frame, frame
        boxes = np.array([[right, 0, 40 + right, 50], [100, 100 - up, 140, 150 - up]], np.float32)
        found = Detections(boxes, np.array([0.9, 0.8], np.float32), np.array([0, 0]), ("cat",), None)
        numbers.append(tracker.update(found[:1] if frame == 3 else found))
    assert numbers == [(1, 2), (1, 2), (1, 2), (1,), (1, 2), (1, 2)]
    assert tracker.update(found[:0]) == ()


def test_numbers_are_written(clip, tmp_path):
    supervision = pytest.importorskip("supervision", reason='needs pip install "gluon_ssd[tracking]"')
    if not hasattr(supervision, "ByteTrack"):
        pytest.skip('supervision has no ByteTrack: pip install "gluon_ssd[tracking]"')
    run = job(Finder(), tmp_path / "out", track=True)
    run.videos([clip], ["clip"])
    run.results.close()
    rows = json.loads((tmp_path / "out/detections.json").read_text())["annotations"]
    assert [row["track_id"] for row in rows] == [1] * 7


def test_without_bytetrack_nothing_starts(cli, clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(__version__="0.31"))
    assert cli("predict", clip, "--weights", "none", "--track").err == (
        "error: --track: supervision 0.31 has no ByteTrack any more; "
        'pip install "gluon_ssd[tracking]"\n'
    )


def test_closing_the_window_ends_a_video(clip, tmp_path):
    class Window:
        seen = 0

        def show(self, pixels):
            self.seen += 1
            return self.seen < 3

    run = job(Finder(), tmp_path / "out", window=Window())
    run.videos([clip], ["clip"])
    assert (run.counts["frames"], run.failed) == (3, 0)
