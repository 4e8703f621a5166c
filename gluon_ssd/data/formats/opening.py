"""A data set of any format opened for training, as if it had been converted first."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Sequence

from ...errors import UserError
from ..coco import CocoDataset
from ..coco_json import parse_coco
from .coco import coco_content
from .conversion import read_dataset
from .model import Options

_ADVICE = {
    "val": "; hold some images out with gluon-ssd convert-data --val-share 0.2, or train with --eval-every 0"
}


def converted_splits(root: Path) -> list[str]:
    """Name the splits that `open_converted` could open. Raises UserError for a data set that is not sound."""
    return list(read_dataset(root).splits)


def open_converted(
    root: Path,
    split: str,
    classes: Sequence[str] | None = None,
    orientation: str = "auto",
    absent_ok: bool = False,
) -> CocoDataset:
    """Convert in memory and open a split; see `open_dataset`. Nothing is written."""
    data = read_dataset(root, options=Options(orientation=orientation))
    if split not in data.splits:
        raise UserError(
            f"{root}: has no split '{split}', only {', '.join(data.splits)}{_ADVICE.get(split, '')}"
        )
    pictures = data.splits[split]
    folder = root if root.is_dir() else root.parent
    names = [os.path.relpath(picture.file, folder) for picture in pictures]
    file = parse_coco(coco_content(data.classes, pictures, names), root)
    return CocoDataset.of(
        file, folder, data.report(), classes=classes, orientation=orientation, absent_ok=absent_ok
    )
