"""YOLO as Darknet lays it out: obj.data, obj.names and lists of images, or labels beside the images.

CVAT ("YOLO 1.1"), Yolo_mark and LabelImg write it. See `yolo_labels` for the labels.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ...errors import UserError
from ..images import is_image_name
from ..splits import OF_NO_SPLIT, SPLITS, first_of_each, split_folders, split_of
from .model import DataSet, Options
from .reading import class_file, name_others, peek_text, read_classes, read_text, unneeded, visible
from .registry import LIKELY, NO, POSSIBLE, SURE, Format, register_format
from .yolo import folder_classes, named_images
from .yolo_config import read_list
from .yolo_labels import LabelReader, Named


@register_format
class Darknet(Format):
    """Three layouts: obj.data; obj.names (or classes.txt) with train.txt; or labels beside the images."""

    name = "darknet"
    labels = (".txt", ".data", ".names")
    layout = "obj.data with obj.names and train.txt, or a .txt beside each image and classes.txt"
    reading = "cxcywhn"

    def detect(self, root: Path) -> int:
        if not root.is_dir():
            return SURE if root.suffix == ".data" else NO
        if _data_file(root):
            return SURE
        if class_file(root, root / "data") and _lists(root, peek_text):
            # Ultralytics' data.yaml may name such lists as well, and says more.
            return LIKELY if any(root.glob("*.y*ml")) else SURE
        beside = any(_labelled(folder) for folder in (root, *split_folders(root).values()))
        return POSSIBLE if beside else NO

    def read(self, root: Path, options: Options) -> DataSet:
        lines: list[str] = []
        file = root if root.is_file() else _data_file(root)
        home = root if root.is_dir() else root.parent
        parts: dict[str, tuple[list[Named], Path]] = {}
        settings = _settings(read_text(file)) if file else {}
        listed = _find(settings["names"], home, file) if file and "names" in settings else None
        names, source = (read_classes(listed), str(listed)) if listed else folder_classes(home, options)
        if file:
            lists = _named_lists(settings, home, file, lines)
        else:
            lists = first_of_each(_lists(home, read_text), lines)
        notes: Counter[str] = Counter()
        for split, path in lists.items():
            with unneeded(split, lines):
                parts[split] = read_list(path, [home, path.parent], home, options, notes), path
        # Without lists the labels lie beside the images, in folders of the splits or all in one.
        if not lists:
            folders = {s: f for s, f in split_folders(home, lines).items() if _labelled(f)}
            name_others(home, folders, lines)
            folders = folders or {"train": home}
            parts = {split: (named_images(folder), folder) for split, folder in folders.items()}
        reader = LabelReader(names, source, False, options, notes)
        return DataSet(names, reader.read_all(parts, lines), notes, lines)


def _data_file(root: Path) -> Path | None:
    """The obj.data of a folder: the first .data file that has the key "names"."""
    found = [*visible(root.glob("*.data")), *visible((root / "data").glob("*.data"))]
    return next((path for path in found if "names" in _settings(peek_text(path))), None)


def _settings(text: str) -> dict[str, str]:
    """The lines ``key = value`` of a file's text."""
    pairs = (line.partition("=") for line in text.split("\n") if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _find(name: str, home: Path, file: Path) -> Path | None:
    """A file that obj.data names: from obj.data, from the data set, or by its name alone.

    The last is for paths of another machine, which CVAT and Darknet's tutorials write.
    """
    plain = Path(name.replace("\\", "/"))
    places = [file.parent / plain, home / plain, file.parent / plain.name, home / plain.name]
    # Unlike pathlib's, this is False for a name that is too long for any file.
    return next((path for path in places if os.path.isfile(path)), None)


def _named_lists(settings: dict[str, str], home: Path, file: Path, lines: list[str]) -> dict[str, Path]:
    lists = {}
    for key, value in settings.items():
        split = split_of(key)
        # "valid" is the validation list; "names" and "backup" are no lists of images.
        path = _find(value, home, file) if key not in ("classes", "names", "backup") else None
        if path is None and split:
            lines.append(f"{file}: '{key}' names {value}, which is not there; there is no such split")
        elif path is not None and split and split not in lists:
            lists[split] = path
        elif path is not None:
            lines.append(f"{file}: '{key}' is not used: {OF_NO_SPLIT}")
    if not lists:
        raise UserError(f"{file}: names no list of images that is there; give train = train.txt")
    return {split: lists[split] for split in SPLITS if split in lists}


def _lists(root: Path, read: Callable[[Path], str]) -> list[Path]:
    """Text files that are named like a split and list images."""
    found = [path for path in visible(root.glob("*.txt")) if split_of(path.stem)]
    return [path for path in found if is_image_name(read(path).strip().split("\n")[0])]


def _labelled(folder: Path) -> bool:
    """Whether any image of a folder, sub-folders included, has a label file beside it."""
    labels = {path.with_suffix("") for path in visible(folder.rglob("*.[tT][xX][tT]"))}
    return bool(labels) and any(image.file.with_suffix("") in labels for image in named_images(folder))
