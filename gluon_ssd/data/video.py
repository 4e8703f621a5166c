"""Videos and cameras, read frame by frame and written, by OpenCV."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError
from ..files import as_utf8, make_folder
from ..folders import files_together

# For FFmpeg inside OpenCV, which reads it with the first video: silence, since errors are told in one line.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# The suffixes that count as a video where files are named or a folder is searched.
VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ts"))
# What is taken where a file or camera does not say how many frames it has in a second.
_RATE = 25.0


class Frame(NamedTuple):
    """A picture of a video, RGB uint8 (H, W, 3): its number from 0 and its time in seconds from the start."""

    number: int
    seconds: float
    pixels: np.ndarray


def is_video_name(name: str) -> bool:
    """Returns whether a file of this name is taken for a video."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".")


class Video:
    """A video file, or the camera of a number.

    ``rate``: frames per second. ``count``: how many frames the file says it has; 0 for a camera, and where
    the file does not say. Raises UserError where it cannot be opened.
    """

    def __init__(self, source: Path | int) -> None:
        import cv2

        self.source = source
        if isinstance(source, Path) and not source.is_file():
            raise UserError(f"{source}: no such video file")
        with _quiet():
            self._capture = cv2.VideoCapture(source if isinstance(source, int) else as_utf8(source, "OpenCV"))
        if not self._capture.isOpened():
            raise UserError(
                f"camera {source}: cannot be opened; is it there, and does no other program use it?"
                if isinstance(source, int)
                else f"{source}: not a video that OpenCV can decode"
            )
        rate, count = (self._capture.get(key) for key in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        self.rate = float(rate) if 0 < rate < 1000 else _RATE
        self.count = max(0, int(count)) if isinstance(source, Path) else 0

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yields every so many frames until the video ends. Raises UserError where it has none."""
        number = 0
        while self._capture.grab():
            if number % every == 0:
                whole, pixels = self._capture.retrieve()
                if whole:
                    yield Frame(number, self._seconds(number), np.ascontiguousarray(pixels[:, :, ::-1]))
            number += 1
        if not number:
            raise UserError(f"{self.source}: has no frame that can be decoded")

    def _seconds(self, number: int) -> float:
        """Returns the time of the frame that was grabbed last: the file's own, as the rate may vary."""
        import cv2

        told = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 if isinstance(self.source, Path) else 0.0
        # A file without times says 0.
        return float(told) if told > 0 else number / self.rate

    def close(self) -> None:
        """Releases the file or camera."""
        self._capture.release()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps OpenCV from printing why it cannot open something; an error says so in one line."""
    import cv2

    # OpenCV 5 has moved both functions.
    levels = getattr(cv2.utils, "logging", cv2)
    before = levels.getLogLevel()
    levels.setLogLevel(0)
    try:
        yield
    finally:
        levels.setLogLevel(before)


class VideoWriter:
    """An MP4 file that appears under its name when it is complete.

    The size is that of the first frame; others are scaled to it. Raises UserError where it cannot be written.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self._rate, self._count = path, rate, 0
        self._writer: Any = None
        self._made = contextlib.ExitStack()

    def write(self, pixels: np.ndarray) -> None:
        """Adds a frame, RGB uint8 (H, W, 3)."""
        import cv2

        if self._writer is None:
            as_utf8(self.path, "OpenCV")
            self._size = pixels.shape[1::-1]
            make_folder(self.path.parent)
            # A folder, because OpenCV takes the kind of a video from the suffix of its file.
            self._partial = self._made.enter_context(files_together([self.path])) / self.path.name
            # MPEG-4 is what every build of OpenCV can write.
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._partial), code, self._rate, self._size)
            if not self._writer.isOpened():
                self._writer = None
                with self._made:
                    raise OSError("OpenCV has no encoder for MP4 here, or the disk is full")
        if pixels.shape[1::-1] != self._size:
            # OpenCV would leave out a frame of another size, and the file would be missing one.
            pixels = cv2.resize(pixels, self._size)
        self._writer.write(np.ascontiguousarray(pixels[:, :, ::-1]))
        self._count += 1

    def close(self) -> None:
        """Completes the file; without a frame there is none. Raises UserError where it is not whole."""
        writer, self._writer = self._writer, None
        with self._made:
            if writer is not None:
                writer.release()
                self._check()

    def _check(self) -> None:
        """Raises OSError unless the file has all frames: OpenCV does not tell of a full disk."""
        with contextlib.suppress(UserError), contextlib.closing(Video(self._partial)) as video:
            if video.count == self._count:
                return
        raise OSError("OpenCV could not complete it, as on a full disk")

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # What was written before an interruption is a video, too.
        self.close()
