"""Everything that a prediction was asked to write, in one folder."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..files import make_folder, new_text_file, writing
from .coco import CocoRows, Numbering
from .files import WRITERS, finish_yolo
from .shown import Shown

# What can be asked for: files of each picture, and one file of all of them.
KINDS = ("images", "json", "csv", *(name for name in WRITERS if name != "images"))
_COLUMNS = ("file", "frame", "seconds", "class", "score", "left", "top", "right", "bottom", "track")


class Results:
    """Writes the ``kinds`` of results of every picture into ``folder``; ``count``: detections so far.

    Raises UserError where something cannot be written.
    """

    def __init__(self, folder: Path, kinds: Sequence[str], numbering: Numbering) -> None:
        make_folder(folder)
        self.folder, self.kinds, self.count = folder, tuple(kinds), 0
        self._classes = numbering.classes
        self._coco = CocoRows(folder / "detections.json", numbering) if "json" in kinds else None
        self._table = _Table(folder / "detections.csv") if "csv" in kinds else None

    def write_files(self, shown: Shown) -> None:
        """Writes the files of one picture; any thread may. A frame is annotated in its video instead."""
        for kind in self.kinds:
            if kind in WRITERS and not (kind == "images" and shown.frame is not None):
                WRITERS[kind](shown, self.folder)

    def add(self, shown: Shown, image_id: int | None) -> None:
        """Adds the picture to the files of all; in order, from one thread."""
        self.count += len(shown.found)
        with writing(self.folder):
            if self._coco is not None:
                self._coco.add(shown, image_id)
            if self._table is not None:
                self._table.add(shown)

    def close(self) -> None:
        """Completes the files of all pictures."""
        with writing(self.folder):
            if "yolo" in self.kinds:
                finish_yolo(self.folder, self._classes)
            for table in (self._coco, self._table):
                if table is not None:
                    table.close()


class _Table:
    """A CSV file with a row for each detection, which appears when it is closed.

    The rows wait in a temporary file, of which nothing stays where the run fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = tempfile.TemporaryFile(  # noqa: SIM115 - see `close`
            "w+", encoding="utf-8", errors="backslashreplace", newline="", dir=path.parent
        )
        self._rows = csv.writer(self._file)
        self._rows.writerow(_COLUMNS)

    def add(self, shown: Shown) -> None:
        place = ("", "") if shown.frame is None else (shown.frame, f"{shown.seconds:.3f}")
        tracks = shown.tracks or (0,) * len(shown.found)
        for found, track in zip(shown.found, tracks):
            box = [f"{side:.2f}" for side in found.xyxy]
            self._rows.writerow([shown.path, *place, found.name, f"{found.score:.5f}", *box, track or ""])

    def close(self) -> None:
        self._file.seek(0)
        with self._file, new_text_file(self._path) as file:
            shutil.copyfileobj(self._file, file)
