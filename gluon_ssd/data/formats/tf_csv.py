"""The CSV of TensorFlow's object detection: filename, width, height, class, xmin, ymin, xmax, ymax.

A row is an object. Roboflow writes ``_annotations.csv`` into each split, tutorials ``train_labels.csv``.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ...errors import UserError
from ..attributes import flags_of
from .model import DataSet, Options, Picture
from .reading import choose_classes, unneeded
from .registry import NO, SURE, Format, register_format
from .tables import csv_files, header_of, number, read_table, sheets_of, split_files

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_NEEDED = {"filename", "class", *_SIDES}


@register_format
class TensorFlowCsv(Format):
    """One CSV file for each split, with its images beside it, in a folder of its name, or in images/."""

    name = "tf_csv"
    labels = (".csv",)
    layout = "train_labels.csv with filename,width,height,class,xmin,ymin,xmax,ymax"
    reading = "xyxy"

    def detect(self, root: Path) -> int:
        return SURE if any(map(_fits, csv_files(root))) else NO

    def read(self, root: Path, options: Options) -> DataSet:
        files = [path for path in csv_files(root) if _fits(path)]
        if not files:
            raise UserError(f"{root}: no CSV file with the columns {', '.join(sorted(_NEEDED))}")
        lines: list[str] = []
        notes: Counter[str] = Counter()
        names: dict[str, int] = {}
        home = root if root.is_dir() else root.parent
        splits = {}
        for split, paths in split_files(root, files, lines).items():
            with unneeded(split, lines):
                splits[split] = [p for path in paths for p in _read(split, path, home, names, options, notes)]
        # There is no class list: names are numbered as they are found, then put into alphabetical order.
        return choose_classes(DataSet(list(names), splits, notes, lines), sorted(names))


def _fits(path: Path) -> bool:
    return set(header_of(path)) >= _NEEDED


def _read(
    split: str, path: Path, root: Path, names: dict[str, int], options: Options, notes: Counter[str]
) -> list[Picture]:
    rows: dict[str, list[tuple[str, dict[str, str]]]] = {}
    for where, row in read_table(path):
        rows.setdefault(row["filename"], []).append((where, row))
    pictures = []
    sheets = sheets_of(split, path, rows, root, options, notes, lambda objects: _size(*objects[0]))
    for sheet, objects in sheets:
        for where, row in objects:
            if not row["class"].strip():
                raise UserError(f"{where}: lacks a class; give its name")
            label = names.setdefault(row["class"].strip(), len(names))
            values = [number(where, side, row[side]) for side in _SIDES]
            sheet.add_values(label, values, "xyxy", flags=flags_of(row))
        pictures.append(sheet.picture())
    return pictures


def _size(where: str, row: dict[str, str]) -> tuple[int, int]:
    """The size that a row gives for its image; (0, 0) where it gives none."""
    sides = [int(number(where, side, row.get(side) or 0)) for side in ("width", "height")]
    return (sides[0], sides[1]) if all(sides) else (0, 0)
