"""A split in record files, opened as a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..coco import CocoDataset
from .manifest import read_manifest


class PackedDataset(CocoDataset):
    """A CocoDataset whose pictures are in record files. It is made by ``open_dataset``.

    ``manifest`` says where each picture is; its images are in the order of ``records``. Raises UserError when
    a file is missing, cut short or damaged.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        classes: Sequence[str] | None = None,
        orientation: str = "auto",
        absent_ok: bool = False,
    ) -> None:
        self.manifest = read_manifest(folder, split)
        self.manifest.check_files()
        self._set_up(self.manifest.coco, folder, classes, orientation, absent_ok)
        self.records = self.manifest.attach(self.records)
