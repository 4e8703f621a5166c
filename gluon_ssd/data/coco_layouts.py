"""Where COCO annotation files and their images are, in the layouts of the tools that write them.

COCO itself, MLPerf's OpenImages, CVAT (``instances_Train.json`` with ``images/Train/``), Roboflow
(``train/_annotations.coco.json``), Label Studio (``result.json`` beside ``images/``), FiftyOne
(``labels.json`` beside ``data/``), and a lone annotation file.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..files import refuse_device
from .finder import Finder
from .images import is_image_name
from .splits import OF_NO_SPLIT, SPLITS, folder_called, split_in, split_of

# The published layouts, best first; {} stands for the split. Only their paths are looked at, no file is read.
_ANNOTATIONS = (
    "{}/labels/openimages-mlperf.json",
    "annotations/bbox_only_instances_{}2017.json",
    "annotations/instances_{}2017.json",
    "annotations/instances_{}.json",
    "annotations/{}.json",
)
_IMAGES = ("{}2017", "{}", "images/{}2017", "images/{}")
_KEYS = (b'"images"', b'"annotations"', b'"categories"', b'"bbox"')
# So many file names are enough to tell which folder the images are in.
_SAMPLE = 50
# A folder with more JSON files than this has one for each image, as other formats do, and none is COCO's.
_FEW = 100
ROBOFLOW = "_annotations.coco.json"


class Layout(NamedTuple):
    """The annotation file of each split, and sentences about files that are unused or taken for a split."""

    files: dict[str, Path]
    lines: list[str]


def find_layout(root: Path) -> Layout:
    """Returns the annotation files below ``root``, or ``root`` itself where it is one.

    The result has no files where there are none.
    """
    if root.is_file():
        return Layout({split_in(root.stem) or "train": root} if _looks_like_coco(root) else {}, [])
    files = {split: path for split in SPLITS for path in [_published(root, split)] if path}
    lines: list[str] = []
    # Both published names are there, so no other file has to be read to find out what it is. COCO's own
    # folder also holds captions and keypoints, of hundreds of megabytes.
    if set(files) >= {"train", "val"}:
        others = [
            path for path in sorted(root.glob("annotations/instances_*.json")) if not split_in(path.stem)
        ]
        return Layout(files, [_of_no_split(path) for path in others])
    # Other tools: the file's own name says the split best, then the nearest folder that is named like one.
    named: dict[str, list[Path]] = {}
    others = []
    for path in _candidates(root):
        names = [path.stem, *reversed(path.relative_to(root).parts[:-1])]
        split = next((split for split in (split_in(names[0]), *map(split_of, names[1:])) if split), None)
        (named.setdefault(split, []) if split else others).append(path)
    for split, paths in named.items():
        paths.sort(key=_rank)
        files.setdefault(split, paths[0])
        lines += [
            f"{path} is not used, since {files[split]} is the split '{split}'"
            for path in paths
            if path != files[split]
        ]
    # Nothing is named like a split: a lone file is the training set.
    if not files and others:
        others.sort(key=_rank)
        files["train"] = others.pop(0)
        if others or split_of(files["train"].stem) is None:
            lines.append(f"{files['train']} names no split; its images are taken as train")
    lines += [_of_no_split(path) for path in others]
    return Layout({split: files[split] for split in SPLITS if split in files}, lines)


def _of_no_split(path: Path) -> str:
    return f"{path} is not used: {OF_NO_SPLIT}"


def _published(root: Path, split: str) -> Path | None:
    # MLPerf's script keeps OpenImages' own name of the split.
    openimages = {"val": "validation"}.get(split, split)
    names = [_ANNOTATIONS[0].format(openimages), *(name.format(split) for name in _ANNOTATIONS[1:])]
    return next((root / name for name in names if (root / name).is_file()), None)


def _candidates(root: Path) -> list[Path]:
    """JSON files at most two folders down that look like COCO's."""
    found = [path for depth in ("*.json", "*/*.json", "*/*/*.json") for path in root.glob(depth)]
    counts = Counter(path.parent for path in found)
    return [
        path
        for path in sorted(found)
        if counts[path.parent] <= _FEW and not path.name.startswith(".") and _looks_like_coco(path)
    ]


def _looks_like_coco(path: Path) -> bool:
    """Returns whether a JSON file has COCO's keys.

    It may have gigabytes, so it is searched and not parsed.
    """
    if path.suffix.lower() != ".json":
        return False
    missing, before = set(_KEYS[:3]), b""
    with contextlib.suppress(OSError):
        refuse_device(path)
        with open(path, "rb") as stream:
            # Not mapped into memory: a file that is cut short meanwhile would end the process.
            while missing and (block := stream.read(1 << 20)):
                text = before + block
                missing, before = {key for key in missing if key not in text}, text[-max(map(len, _KEYS)) :]
    return not missing


def _rank(path: Path) -> tuple[bool, bool, int, str]:
    """A sort key: files of boxes alone first, then instances, then the shortest path."""
    name = path.name.casefold()
    return not name.startswith("bbox_only"), "instances" not in name, len(path.parts), name


def image_folder(root: Path, split: str, annotation: Path, file_names: Sequence[str]) -> Path:
    """Returns the folder below ``root`` that the file names of an annotation file start from.

    Some of the names are looked for in every likely folder, and the folder that has most of them is taken.
    Names that are spelt differently on disk are left to a `Finder`.
    """
    base = root if root.is_dir() else annotation.parent
    step = max(1, len(file_names) // _SAMPLE)
    # Spread over the file, because sub-folders may differ between its beginning and its end.
    names = list(file_names[::step])[:_SAMPLE]
    best, most = None, 0
    for folder in _folders(base, split, annotation):
        finder = Finder([folder], folder)
        count = sum(finder.exact(name) is not None for name in names)
        if count > most:
            best, most = folder, count
        if most == len(names) and names:
            break
    # No name was found as it is spelt. The first folder that holds images at all is the best guess.
    return best or next((f for f in _folders(base, split, annotation) if _holds_images(f)), annotation.parent)


def _folders(base: Path, split: str, annotation: Path) -> Iterable[Path]:
    """Existing folders in which the images of a split may be, the likeliest first."""
    # Images may lie beside a folder annotations/ or labels/ as well as in it.
    home = (
        annotation.parent.parent if annotation.parent.name.casefold() in ("annotations", "labels") else None
    )
    if annotation.name == "openimages-mlperf.json":
        yield from (f for f in [annotation.parent.parent / "data"] if f.is_dir())
    yield from (base / name.format(split) for name in _IMAGES if (base / name.format(split)).is_dir())
    for outer in dict.fromkeys(f for f in (annotation.parent, home, base) if f is not None):
        inner = folder_called(outer, "images", "data", "img", "imgs", "jpegimages", "pictures")
        for parent in (outer, inner):
            if parent is not None:
                yield from (f for f in sorted(parent.iterdir()) if f.is_dir() and split_of(f.name) == split)
                # CVAT writes instances_NAME.json with its images in images/NAME, whatever the name.
                yield from (f for f in sorted(parent.iterdir()) if f.is_dir() and f.name in annotation.stem)
        if inner is not None:
            yield inner
        yield outer


def _holds_images(folder: Path) -> bool:
    return any(is_image_name(name) for _, _, names in os.walk(folder) for name in names)
