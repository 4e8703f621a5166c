"""Opening a data set of any kind for training: COCO, another format, or record files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import as_path
from .coco import CocoDataset, locate_annotation, locate_images, no_split
from .coco_json import read_coco
from .coco_layouts import find_layout
from .formats.model import DataSet
from .formats.opening import open_converted
from .images import PathLike
from .record_files.dataset import PackedDataset
from .record_files.manifest import holds_records


def open_dataset(
    root: PathLike,
    split: str = "train",
    annotation: PathLike | None = None,
    images: PathLike | None = None,
    classes: Sequence[str] | None = None,
    orientation: str = "auto",
    absent_ok: bool = False,
    converted: dict[Path, DataSet] | None = None,
) -> CocoDataset:
    """Opens a split of a data set in any known format, or of one that was packed into record files.

    ``root`` is a folder, or the YAML or JSON file of a data set. COCO annotations are read as they are, in
    the layouts of `coco_layouts`; other formats are converted in memory. ``annotation`` and ``images`` name a
    COCO file and its folder directly. Where neither is named and ``root`` holds record files, these are
    opened. ``classes`` restricts the data set to these class names, in this order; with ``absent_ok`` the
    data set need not have all of them. ``converted`` keeps what was converted, for the call that opens the
    next split. For ``orientation`` see `turn_for`. Raises UserError when something is
    missing or wrong.
    """
    base = as_path(root)
    lines: list[str] = []
    choice: dict[str, Any] = {"classes": classes, "orientation": orientation, "absent_ok": absent_ok}
    if annotation is None and images is None:
        if holds_records(base, split):
            return PackedDataset(base, split, classes, orientation, absent_ok)
        # COCO is looked for first, because it needs no conversion.
        files, lines = find_layout(base)
        # A missing folder goes on to `locate_annotation`, which says so.
        if base.exists() and not files:
            return open_converted(base, split, converted=converted, **choice)
        if files and split not in files:
            raise no_split(base, split, files)
    file = read_coco(locate_annotation(root, split, annotation))
    return CocoDataset.of(file, locate_images(root, split, file, images), lines, **choice)
