"""Videos: written, read back frame by frame, and what is no video."""

import os
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
from places import REPOSITORY

from gluon_ssd.data.video import Video, VideoWriter, is_video_name
from gluon_ssd.errors import UserError


def clip(path, count=5, size=(48, 64)):
    """A video whose frames get lighter by 40."""
    with VideoWriter(path, 10) as writer:
        for number in range(count):
            writer.write(np.full((*size, 3), 40 * number, np.uint8))
    return path


def test_frames_come_back_in_order_with_their_times(tmp_path):
    video = Video(clip(tmp_path / "new" / "clip.mp4"))
    frames = list(video.frames())
    assert (video.rate, video.count) == (10, 5)
    assert [frame.number for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [round(frame.pixels.mean() / 40) for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[0].pixels.shape == (48, 64, 3)
    video.close()


def test_frames_have_the_times_of_a_file_whose_rate_varies(tmp_path, monkeypatch):
    video = Video(clip(tmp_path / "clip.mp4"))
    told = iter([0.0, 100.0, 800.0, 900.0, 0.0])
    capture = SimpleNamespace(
        grab=video._capture.grab, retrieve=video._capture.retrieve, get=lambda key: next(told)
    )
    monkeypatch.setattr(video, "_capture", capture)
    # The last one has no time of its own.
    assert [frame.seconds for frame in video.frames()] == pytest.approx([0, 0.1, 0.8, 0.9, 0.4])


def test_every_second_frame(tmp_path):
    frames = list(Video(clip(tmp_path / "clip.mp4")).frames(every=2))
    assert [(frame.number, round(frame.pixels.mean() / 40)) for frame in frames] == [(0, 0), (2, 2), (4, 4)]


def test_frames_of_other_sizes_are_scaled_to_the_first(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 10) as writer:
        for height, width in ((48, 64), (96, 80), (48, 64)):
            writer.write(np.full((height, width, 3), 90, np.uint8))
    with closing(Video(tmp_path / "a.mp4")) as video:
        assert [frame.pixels.shape for frame in video.frames()] == [(48, 64, 3)] * 3


def test_colours_keep_their_order(tmp_path):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    with VideoWriter(tmp_path / "red.mp4", 10) as writer:
        writer.write(red)
    (frame,) = Video(tmp_path / "red.mp4").frames()
    assert frame.pixels[..., 0].mean() > 150 > 50 > frame.pixels[..., 2].mean()


def test_a_video_is_there_when_it_is_complete_and_without_frames_never(tmp_path):
    writer = VideoWriter(tmp_path / "clip.mp4", 10)
    writer.write(np.zeros((48, 64, 3), np.uint8))
    assert not (tmp_path / "clip.mp4").exists()
    writer.close()
    VideoWriter(tmp_path / "none.mp4", 10).close()
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


_AS_BEFORE = "as on a full disk; what was there before is untouched"
FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from gluon_ssd.data.video import VideoWriter
from gluon_ssd.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
noise = np.random.default_rng(0)
try:
    with VideoWriter(Path(sys.argv[1]), 10) as writer:
        for _ in range(20):
            writer.write(noise.integers(0, 255, (48, 64, 3), np.uint8))
except UserError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on a file's size is Linux's")
def test_a_video_that_the_disk_has_no_room_for_is_told_of(tmp_path):
    path = clip(tmp_path / "clip.mp4")
    before = path.read_bytes()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, env=environment
    )
    reason = f"OpenCV could not complete it, {_AS_BEFORE}"
    assert done.stdout == f"{path}: cannot be written: {reason}\n", done.stderr
    assert [(each, each.read_bytes()) for each in tmp_path.iterdir()] == [(path, before)]


def test_what_a_killed_writer_left_goes_with_the_next_video(tmp_path):
    left = tmp_path / ".clip.mp4.0123456789.partial"
    left.mkdir()
    (left / "clip.mp4").write_bytes(b"half")
    clip(tmp_path / "clip.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize(("content", "part"), [(None, "no such video"), (b"no video", "not a video that")])
def test_what_is_no_video(tmp_path, content, part):
    path = tmp_path / "bad.mp4"
    if content:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"bad.mp4: {part}"):
        Video(path)


def test_a_camera_that_is_not_there():
    with pytest.raises(UserError, match="camera 99: cannot be opened"):
        Video(99)


def test_names_of_videos():
    assert is_video_name("A.MP4") and is_video_name("b.webm")
    assert not is_video_name("a.jpg") and not is_video_name(".hidden.mp4")
