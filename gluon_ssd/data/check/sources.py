"""What there is to check: splits as a training would open them, but with unsound entries left out."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Tuple

from gluon_ssd.data.check.annotations import read_tolerantly
from gluon_ssd.data.check.dataset import Source
from gluon_ssd.data.check.findings import ERROR, NOTE, Findings
from gluon_ssd.data.coco import has_split, locate_annotation, locate_images, settle
from gluon_ssd.data.coco_layouts import find_layout
from gluon_ssd.data.record_files.manifest import holds_records, manifest_path, read_manifest
from gluon_ssd.errors import UserError

# Annotation file and image folder, None where they are found by themselves.
Given = Tuple["str | None", "str | None"]
_NONE = (None, None)


def find_sources(root: Path, given: Mapping[str, Given], orientation: str) -> dict[str, Source]:
    """Return train, and val where there is one; see `open_dataset`. Raises UserError without either."""
    sources = {}
    for split, places in given.items():
        if split == "train" or places != _NONE or _is_there(root, split):
            sources[split] = _source(root, split, places, orientation)
    return sources


def _is_there(root: Path, split: str) -> bool:
    if manifest_path(root, split).exists() or has_split(root, split):
        return True
    if holds_records(root, split) or find_layout(root).files:
        return False
    from gluon_ssd.data.formats.opening import converted_splits

    return split in converted_splits(root)


def _source(root: Path, split: str, given: Given, orientation: str) -> Source:
    findings = Findings(split)
    if given == _NONE and holds_records(root, split):
        manifest = read_manifest(root, split)
        manifest.check_files()
        return Source(manifest.coco, root, findings, manifest, orientation=orientation)
    if given == _NONE and root.exists() and not has_split(root, split):
        from gluon_ssd.data.formats.opening import open_converted

        data = open_converted(root, split, orientation=orientation)
        return Source(data.file, data.images_dir, findings, None, tuple(data.lines), orientation)
    file = read_tolerantly(locate_annotation(root, split, given[0]), findings)
    folder = locate_images(root, split, file, given[1])
    try:
        file = settle(file, folder)
    except UserError as error:
        findings.add(ERROR, "images that cannot be told apart", [str(error)], "rename them")
    for what, count in file.notes.items():
        findings.add(NOTE, what, [str(file.path)] * count, "taken so in training and evaluation", 1)
    layout = find_layout(root).lines if given == _NONE else []
    return Source(file, folder, findings, None, tuple(layout), orientation)
