"""What there is to check: splits as training would open them, but with unsound entries left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import UserError
from ..coco import has_split, locate_annotation, locate_images, no_split, settle
from ..coco_layouts import find_layout
from ..record_files.manifest import holds_records, manifest_path, read_manifest
from .annotations import read_tolerantly
from .dataset import SplitSource
from .findings import ERROR, NOTE, Findings

# Annotation file and image folder of a split, None where they are found by themselves.
Given = tuple["str | None", "str | None"]
_NONE = (None, None)


def find_sources(root: Path, given: Mapping[str, Given], orientation: str) -> dict[str, SplitSource]:
    """Returns train, and val where there is one; see `open_dataset`. Raises UserError without train."""
    foreign = root.exists() and not holds_records(root, "train") and not find_layout(root).files
    if foreign and all(places == _NONE for places in given.values()):
        return _converted(root, list(given), orientation)
    sources = {}
    for split, places in given.items():
        there = manifest_path(root, split).exists() or has_split(root, split)
        # A split without anything is left to the user, except train, whose absence is an error further down.
        if split == "train" or places != _NONE or there:
            sources[split] = _source(root, split, places, orientation)
    return sources


def _converted(root: Path, splits: Sequence[str], orientation: str) -> dict[str, SplitSource]:
    from ..formats.opening import open_all_converted

    opened = open_all_converted(root, orientation)
    if "train" not in opened:
        raise no_split(root, "train", opened)
    return {
        split: SplitSource(
            opened[split].file,
            opened[split].images_dir,
            Findings(split),
            None,
            tuple(opened[split].lines),
            orientation,
        )
        for split in splits
        if split in opened
    }


def _source(root: Path, split: str, given: Given, orientation: str) -> SplitSource:
    """One split of COCO files or record files, with what is unsound reported and left out."""
    findings = Findings(split)
    if given == _NONE and holds_records(root, split):
        manifest = read_manifest(root, split)
        manifest.check_files()
        return SplitSource(manifest.coco, root, findings, manifest, orientation=orientation)
    layout = find_layout(root) if given == _NONE else None
    if layout and layout.files and split not in layout.files:
        raise no_split(root, split, layout.files)
    file = read_tolerantly(locate_annotation(root, split, given[0]), findings)
    folder = locate_images(root, split, file, given[1])
    # Training would stop here; the check reports it and goes on with the names as they stand.
    try:
        file = settle(file, folder, orientation)
    except UserError as error:
        findings.add(ERROR, "images that cannot be told apart", [str(error)], "rename them")
    for what, count in file.notes.items():
        # One item for each case, so that the finding counts them, of which one is kept.
        findings.add(NOTE, what, [str(file.path)] * count, "taken so in training and evaluation", 1)
    lines = tuple(layout.lines) if layout else ()
    return SplitSource(file, folder, findings, None, lines, orientation)
