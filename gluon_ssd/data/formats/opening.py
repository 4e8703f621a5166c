"""Opens a data set of any format for training, as if it had been converted first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..coco import CocoDataset, no_split
from ..coco_json import parse_coco
from .coco import coco_content
from .conversion import read_dataset
from .model import DataSet, Options


def open_converted(
    root: Path,
    split: str,
    classes: Sequence[str] | None = None,
    orientation: str = "auto",
    absent_ok: bool = False,
    converted: dict[Path, DataSet] | None = None,
) -> CocoDataset:
    """Converts a data set in memory and opens one split of it; see `open_dataset`. Nothing is written."""
    known = {} if converted is None else converted
    if root not in known:
        known[root] = read_dataset(root, options=Options(orientation=orientation))
    data = known[root]
    if split not in data.splits:
        raise no_split(root, split, data.splits)
    return _opened(root, data, split, classes=classes, orientation=orientation, absent_ok=absent_ok)


def open_all_converted(root: Path, orientation: str) -> dict[str, CocoDataset]:
    """Converts a data set in memory and opens every split of it, by its name."""
    data = read_dataset(root, options=Options(orientation=orientation))
    return {split: _opened(root, data, split, orientation=orientation) for split in data.splits}


def _opened(root: Path, data: DataSet, split: str, **choice: Any) -> CocoDataset:
    pictures = data.splits[split]
    folder = root if root.is_dir() else root.parent
    names = [os.path.relpath(picture.file, folder) for picture in pictures]
    # Through the same check as a file on disk, so that training meets only one kind of data set.
    file = parse_coco(coco_content(data.classes, pictures, names), root)
    return CocoDataset.of(file, folder, data.report(), **choice)
