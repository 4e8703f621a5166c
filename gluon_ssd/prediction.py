"""A detector over images, videos and cameras, with what it finds written as it is found."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Union

import numpy as np

from .console import Console, duration
from .data.video import Frame, Video, VideoWriter
from .data.workers import map_ahead
from .detections import Detections
from .errors import UserError, one_line
from .files import Unwritable
from .machine import threads
from .outputs.results import Results
from .outputs.shown import Shown
from .outputs.tracker import Tracker

Outcome = Union[Detections, UserError]
# Files tell their frames and their length only roughly; one that gives a smaller share of both is damaged.
_WHOLE = 0.9


def first_images(paths: Sequence[Path], videos: Sequence[Path | int], count: int) -> list[Any]:
    """Returns the first ``count`` image files that can be read, or else frames of the first video file."""
    from .data.images import read_image

    found: list[Any] = []
    for path in paths:
        with contextlib.suppress(UserError):
            read_image(path)
            found.append(path)
        if len(found) == count:
            return found
    files = [video for video in videos if isinstance(video, Path)]
    if not found and files:
        with contextlib.suppress(UserError), closing(Video(files[0])) as video:
            found = [frame.pixels for frame in islice(video.frames(), count)]
    return found


@dataclass
class Prediction:
    """Runs ``detector`` and hands what it finds to ``results``.

    ``only``: the classes to find, None for all. ``every``: of a video, every so many frames. ``track``
    numbers the things in a video, see `Tracker`; ``window`` shows videos, see `Window`. ``counts``:
    images and frames that were looked at; ``failed``: files that could not be read, each of which was
    reported.
    """

    detector: Any
    results: Results
    console: Console = field(default_factory=Console)
    only: Sequence[str] | None = None
    every: int = 1
    track: bool = False
    window: Any = None
    failed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    _next_id: int = 1

    def images(
        self, paths: Sequence[Path], names: Sequence[tuple[str, str]], ids: Sequence[int | None]
    ) -> None:
        """Detects on image files. One that cannot be read is reported, and left out.

        ``names``: the name of the results of each, and that of its annotated picture; ``ids``: as in
        `Numbering`.
        """
        if not paths:
            return
        self.counts["images"] = 0
        self._next_id = max([0, *(number for number in ids if number is not None)]) + 1
        start = time.perf_counter()
        self.console.start("images", len(paths))
        jobs = zip(paths, names, self._chosen(self.detector.stream(paths)))
        # Threads draw and write while the network works on the next images.
        drawn = map_ahead(self._draw_image, jobs, threads(), 2 * self.detector.batch_size)
        try:
            for number, (path, image_id, shown) in enumerate(zip(paths, ids, drawn), 1):
                self._tick(number, start)
                if isinstance(shown, UserError):
                    self._fail(shown)
                    continue
                self.counts["images"] += 1
                self.results.add(shown, image_id)
                self.console.say(f"{path}: {shown.found}")
        finally:
            self.console.stop()

    def videos(self, sources: Sequence[Path | int], names: Sequence[str]) -> None:
        """Detects on videos, and on cameras until the window is closed; see `images`.

        Annotated ones are ``videos/NAME.mp4``, which are complete files after Ctrl-C, too.
        """
        for source, name in zip(sources, names):
            try:
                self._video(source, name)
            except Unwritable:
                raise
            except UserError as error:
                self._fail(error)

    def _video(self, source: Path | int, name: str) -> None:
        path = source if isinstance(source, Path) else Path(name)
        done, start, found = 0, time.perf_counter(), self.results.count
        reached = 0.0
        with closing(Video(source)) as video:
            total = -(-video.count // self.every)
            self.console.start(path.name, total or None)
            target = self.results.folder / "videos" / f"{name}.mp4"
            with VideoWriter(target, video.rate / self.every) as writer:
                try:
                    for shown, pixels in self._frames(video, path, name):
                        if "images" in self.results.kinds:
                            writer.write(pixels)
                        self.results.add(shown, self._next_id)
                        self._next_id += 1
                        done += 1
                        reached = (shown.seconds or 0.0) + self.every / video.rate
                        self._tick(done, start)
                        if self.window is not None and not self.window.show(pixels):
                            break
                finally:
                    self.console.stop()
                    self.counts["frames"] += done
                    rate = done / (time.perf_counter() - start)
                    count = self.results.count - found
                    self.console.say(f"{path}: {done} frames, {count} detections, {rate:.1f} frames/s")
        # Some formats have no number of frames, but a length, which at a rate that varies is of fewer frames.
        lost = done < total * _WHOLE and reached < video.count / video.rate * _WHOLE
        if lost and self.window is None:
            self._fail(UserError(f"{path}: is damaged: {done} of {total} frames could be decoded"))

    def _frames(self, video: Video, path: Path, name: str) -> Iterator[tuple[Shown, np.ndarray]]:
        """Yields what was found on each frame, and the frame with its boxes."""
        waiting: deque[Frame] = deque()
        tracker = Tracker(video.rate / self.every) if self.track else None

        def pixels() -> Iterator[np.ndarray]:
            for frame in video.frames(self.every):
                waiting.append(frame)
                yield frame.pixels

        def shown() -> Iterator[Shown]:
            for found in self._chosen(self.detector.stream(pixels())):
                # Frames are pictures, so that none of them is an error.
                assert isinstance(found, Detections)
                frame = waiting.popleft()
                tracks = None if tracker is None else tracker.update(found)
                where = f"{name}_{frame.number:06}"
                yield Shown(found, frame.pixels, path, where, "", frame.number, frame.seconds, tracks)

        yield from map_ahead(self._draw_frame, shown(), threads(), 2 * self.detector.batch_size)

    def _draw_image(self, job: tuple[Path, tuple[str, str], Outcome]) -> Shown | UserError:
        path, (name, picture), found = job
        if isinstance(found, UserError):
            return found
        shown = Shown(found, found.image, path, name, picture)
        self.results.write_files(shown)
        return shown

    def _draw_frame(self, shown: Shown) -> tuple[Shown, np.ndarray]:
        self.results.write_files(shown)
        wanted = "images" in self.results.kinds or self.window is not None
        return shown, shown.drawn() if wanted else shown.pixels

    def _chosen(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        for outcome in outcomes:
            if self.only is None or isinstance(outcome, UserError):
                yield outcome
            else:
                yield outcome.only(self.only)

    def _fail(self, error: UserError) -> None:
        self.failed += 1
        print(f"error: {one_line(error)}", file=sys.stderr)

    def _tick(self, done: int, start: float) -> None:
        spent = time.perf_counter() - start
        self.console.step(done, {"images/s": f"{done / spent:.1f}", "time": duration(spent)}, show=False)
