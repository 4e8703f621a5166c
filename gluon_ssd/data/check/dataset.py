"""Checks a whole data set: its splits, and what they have in common."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..coco import class_names, make_records
from ..coco_json import CocoFile
from ..images import is_image_name
from ..orientation import is_ambiguous, turn_for
from ..progress import ProgressReporter
from ..record_files.manifest import Manifest
from ..records import Record
from .anchors import AnchorGrid, best_iou
from .boxes import judge_boxes, judge_classes, judge_records, judge_sizes
from .findings import ERROR, LEVELS, NOTE, WARNING, Finding, Findings
from .image_files import (
    CORRUPT,
    EMPTY,
    FINE,
    MISSING,
    FileFacts,
    Location,
    same_content,
    scan_files,
)

_STATES = (
    (MISSING, "images missing", "complete the download or correct 'file_name'"),
    (EMPTY, "images of 0 bytes", "copy or download them again"),
    (CORRUPT, "images corrupt", "copy or download them again, or remove them from the annotations"),
)


@dataclass(frozen=True)
class ModelGrids:
    """The network that is to be trained: its name, input (height, width), and anchors."""

    model: str
    input_size: tuple[int, int]
    grids: Sequence[AnchorGrid]


@dataclass(frozen=True)
class SplitSource:
    """A split to check: its annotations, the folder of their images, and its record files if it is packed.

    ``lines`` are sentences about the labels, ``findings`` those of reading the annotations. For
    ``orientation`` see `turn_for`.
    """

    file: CocoFile
    images_dir: Path
    findings: Findings
    manifest: Manifest | None = None
    lines: tuple[str, ...] = ()
    orientation: str = "auto"

    @property
    def annotation(self) -> Path:
        """The annotation file, the manifest, or the data set that was converted."""
        return self.file.path

    def shown(self, file_name: str) -> str:
        """Returns what messages call a picture: the path of its file, or in record files its name alone."""
        return file_name if self.manifest else os.path.join(self.images_dir, file_name)


@dataclass(frozen=True)
class SplitCheck:
    """What was found out about one split.

    Objects (n) are those that training sees, neither crowd nor dropped, including those of unreadable images.
    ``usable`` bool (images,): the file is fine and of the size that the annotations give. ``counts`` int64
    (classes,): number of objects. ``sides`` float64 (n, 2): width and height in pixels of the network's
    input. ``overlaps`` float64 (n,): best IoU with an anchor. ``dropped``: the boxes left out, by reason.
    """

    name: str
    annotation: Path
    images_dir: Path
    records: list[Record]
    facts: list[FileFacts]
    usable: np.ndarray
    counts: np.ndarray
    sides: np.ndarray
    overlaps: np.ndarray
    dropped: dict[str, int]

    def usable_records(self) -> list[Record]:
        """Returns the records whose pictures can be read."""
        return [record for record, good in zip(self.records, self.usable.tolist()) if good]


@dataclass(frozen=True)
class DatasetCheck:
    """What was found: splits by name, the classes of training, and findings with the worst first."""

    classes: tuple[str, ...]
    splits: dict[str, SplitCheck]
    findings: list[Finding] = field(default_factory=list)

    @property
    def harmful(self) -> bool:
        """Whether training on this data set would stop or be spoilt."""
        return any(finding.level == ERROR for finding in self.findings)


def check_dataset(
    sources: Mapping[str, SplitSource],
    target: ModelGrids,
    progress: ProgressReporter,
    *,
    decode: bool = False,
    workers: int = 4,
) -> DatasetCheck:
    """Checks splits, which are given by name; training uses the first.

    Every annotation is read, and of each image the header and the end (``decode`` decodes all images). The
    content is read of files that are equally long, to find equal ones; record files are read whole. Raises
    UserError for an annotation file that cannot be read at all.
    """
    notes = {name: source.findings for name, source in sources.items()}
    files = {name: source.file for name, source in sources.items()}
    scan = _Scan(sources, files, progress, workers, decode)
    # Training takes its classes from the first split, and the others are scored by them.
    first = next(iter(files.values()))
    classes = tuple(class_names(first))
    splits = {}
    for name, source in sources.items():
        locations = [scan.place(name, file_name) for file_name in files[name].file_names]
        facts = [scan.facts[place] for place in locations]
        splits[name] = _check_split(name, source, files[name], facts, classes, target, notes[name])
    # Once for all splits, because a file may be listed by several, and copies may be in different ones.
    _add_doubles(scan, sources, files, notes)
    both = Findings("")
    _add_lines(sources, notes, both)
    _add_overlap(scan, sources, files, both)
    _add_unlisted(scan, sources, notes)
    found = [finding for group in (*notes.values(), both) for finding in group.found]
    return DatasetCheck(classes, splits, sorted(found, key=lambda finding: LEVELS.index(finding.level)))


class _Scan:
    """The image files of all splits, each looked at once, and which of them are alike."""

    def __init__(
        self,
        sources: Mapping[str, SplitSource],
        files: Mapping[str, CocoFile],
        progress: ProgressReporter,
        workers: int,
        decode: bool,
    ) -> None:
        self._sources = sources
        self._real: dict[str, str] = {}
        found: dict[str, Location] = {}
        for name, file in files.items():
            manifest = sources[name].manifest
            for index, file_name in enumerate(file.file_names):
                path = self._path(name, file_name)
                # A file that several splits list is looked at once.
                found.setdefault(path, manifest.pictures[index] if manifest else Path(path))
        self._numbers = {path: number for number, path in enumerate(found)}
        locations = list(found.values())
        progress.start("looking at images", len(locations))
        self.facts = scan_files(locations, workers, progress, decode)
        progress.stop()
        there = [index for index, fact in enumerate(self.facts) if fact.length]
        lengths = [self.facts[index].length for index in there]
        progress.start("comparing images", len(there))
        groups = same_content([locations[index] for index in there], lengths, workers, progress)
        progress.stop()
        # For the place of each file, the place of the first file with the same content.
        self._first = list(range(len(locations)))
        for group in groups:
            for member in group:
                self._first[there[member]] = there[group[0]]

    def _path(self, split: str, file_name: str) -> str:
        """The one path that stands for a file, whatever way leads to it.

        Folders are resolved once, and not for every file.
        """
        source = self._sources[split]
        if source.manifest is not None:
            return os.path.join(source.annotation, file_name)
        folder, leaf = os.path.split(os.path.join(source.images_dir, file_name))
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        return os.path.join(self._real[folder], leaf)

    def place(self, split: str, file_name: str) -> int:
        """Returns the index of a picture in ``facts``."""
        return self._numbers[self._path(split, file_name)]

    def content(self, split: str, file_name: str) -> int | None:
        """Returns a number that files of equal content share; None for a file without content."""
        place = self.place(split, file_name)
        return self._first[place] if self.facts[place].length else None

    def lists(self, path: str) -> bool:
        """Returns whether any split lists this file."""
        return path in self._numbers


def _check_split(
    name: str,
    source: SplitSource,
    file: CocoFile,
    facts: list[FileFacts],
    classes: tuple[str, ...],
    target: ModelGrids,
    findings: Findings,
) -> SplitCheck:
    class_of = np.array([classes.index(own) if own in classes else -1 for own in file.names], np.int64)
    records, dropped, _ = make_records(file, source.images_dir, class_of, source.orientation)
    if source.manifest is not None:
        records = source.manifest.attach(records)
    names = [source.shown(file_name) for file_name in file.file_names]
    usable = _judge_files(file, names, facts, findings)
    _judge_orientations(names, records, facts, findings)
    judge_boxes(file, names, findings)
    judge_records(records, names, findings)
    objects = [record.objects() for record in records]
    # Training's own records are judged, so that the check sees exactly the objects that training will see.
    labels = np.concatenate([label for _, label in objects])
    counts = np.bincount(labels, minlength=len(classes))
    judge_classes(counts, classes, file.names, findings)
    # A missing image of which the annotations give no size has no boxes here.
    sizes = np.maximum([(record.width, record.height) * 2 for record in records], 1.0)
    fractions = np.concatenate([boxes / size for (boxes, _), size in zip(objects, sizes)])
    # The whole image is squeezed to the input, so each side scales by itself.
    sides = (fractions[:, 2:] - fractions[:, :2]) * target.input_size[::-1]
    overlaps = best_iou(fractions, target.grids)
    of_objects = [name for name, (boxes, _) in zip(names, objects) for _ in boxes]
    judge_sizes(of_objects, sides, overlaps, target.model, findings)
    return SplitCheck(
        name, source.annotation, source.images_dir, records, facts, usable, counts, sides, overlaps, dropped
    )


def _judge_files(
    file: CocoFile, names: Sequence[str], facts: list[FileFacts], findings: Findings
) -> np.ndarray:
    """Reports missing, damaged and wrongly sized files; returns which are usable, bool (images,)."""
    for state, what, advice in _STATES:
        bad = [f"{n}: {fact.why}" for n, fact in zip(names, facts) if fact.state == state]
        findings.add(ERROR, what, bad, advice)
    said = list(zip(file.widths.tolist(), file.heights.tolist()))
    other = [
        f"{n}: {fact.size[0]}x{fact.size[1]}, annotated as {size[0]}x{size[1]}"
        for n, fact, size in zip(names, facts, said)
        if fact.state == FINE and fact.size is not None and size not in fact.sizes
    ]
    advice = (
        "write the size of the file, with boxes to match; convert-data --other-size scale does it where "
        "the boxes "
        "are for the annotated size"
    )
    findings.add(ERROR, "images of another size than annotated", other, advice)
    return np.array([fact.state == FINE and size in fact.sizes for fact, size in zip(facts, said)], bool)


def _judge_orientations(
    names: Sequence[str], records: list[Record], facts: list[FileFacts], findings: Findings
) -> None:
    """Reports every picture that EXIF turns, and the frame that its boxes are taken to be for."""
    told: list[str] = []
    assumed: list[str] = []
    for name, record, fact in zip(names, records, facts):
        header, size = fact.header, (record.width, record.height)
        if header is None or header.orientation == 1 or size not in fact.sizes:
            continue
        taken = "stored" if turn_for(header, size, record.orientation) == 1 else "upright"
        line = f"{name}: orientation {header.orientation}, boxes taken for the {taken} picture"
        unsure = record.orientation == "auto" and is_ambiguous(header)
        (assumed if unsure else told).append(line)
    findings.add(NOTE, "images with an EXIF orientation", told, "pixels are turned to agree with the boxes")
    advice = "their size is the same either way; look at the report, say --orientation stored or upright"
    findings.add(WARNING, "images whose EXIF orientation their size does not show", assumed, advice)


def _add_lines(sources: Mapping[str, SplitSource], notes: Mapping[str, Findings], both: Findings) -> None:
    """Reports what was taken otherwise than it stands in the labels, as a warning where it is one."""
    advice = "taken so here, in training and in evaluation"
    said: dict[str, list[str]] = {}
    for name, source in sources.items():
        for line in source.lines:
            said.setdefault(line, []).append(name)
    for line, names in said.items():
        level = WARNING if line.startswith("warning: ") else NOTE
        # A line that all splits have in common is told once, not for each.
        findings = notes[names[0]] if len(names) < len(sources) or len(sources) == 1 else both
        findings.add(level, line[len("warning: ") :] if level == WARNING else line, [line], advice)


def _add_doubles(
    scan: _Scan,
    sources: Mapping[str, SplitSource],
    files: Mapping[str, CocoFile],
    notes: Mapping[str, Findings],
) -> None:
    """Reports pictures that a split holds more than once."""
    for name, source in sources.items():
        first: dict[int, str] = {}
        doubles = []
        for file_name in files[name].file_names:
            content = scan.content(name, file_name)
            if content in first:
                doubles.append(f"{source.shown(file_name)} = {first[content]}")
            elif content is not None:
                first[content] = source.shown(file_name)
        advice = "the same picture more than once; keep one, with the annotations of all"
        notes[name].add(WARNING, "duplicate images", doubles, advice)


def _add_overlap(
    scan: _Scan,
    sources: Mapping[str, SplitSource],
    files: Mapping[str, CocoFile],
    findings: Findings,
) -> None:
    """Reports pictures of the second split that are in the first as well."""
    if len(sources) < 2:
        return
    # Compared by content, because a copy under another name spoils the score as well.
    one, other = list(sources)
    seen = {scan.content(one, name): sources[one].shown(name) for name in files[one].file_names}
    pairs = [(sources[other].shown(name), scan.content(other, name)) for name in files[other].file_names]
    shared = [f"{other} {name} = {one} {seen[key]}" for name, key in pairs if key is not None and key in seen]
    advice = "the score is better than the truth; take them out of one of the two"
    findings.add(WARNING, f"images of {other} that are in {one} too", shared, advice)


def _add_unlisted(scan: _Scan, sources: Mapping[str, SplitSource], notes: Mapping[str, Findings]) -> None:
    """Reports image files that no split lists."""
    walked = set()
    for name, source in sources.items():
        root = os.path.realpath(source.images_dir)
        # Splits may share a folder.
        if source.manifest is not None or root in walked:
            continue
        walked.add(root)
        unlisted = [
            source.shown(os.path.relpath(path, root))
            for folder, _, leaves in os.walk(root)
            for path in (os.path.join(folder, leaf) for leaf in leaves)
            if is_image_name(path) and not scan.lists(path)
        ]
        notes[name].add(
            NOTE, "images that no annotation file lists", sorted(unlisted), "they are not used", 1000
        )
