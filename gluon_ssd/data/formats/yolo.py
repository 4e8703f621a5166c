"""Reading YOLO text labels in Ultralytics' layout.

One text file per image, in the folder labels/ that stands where the image's path says images/; one line per
object: class index, then centre x, centre y, width, height as fractions of the image. A line with more
numbers is the class and a polygon, of which the enclosing box is taken; or, where data.yaml has a
``kpt_shape``, class, box and keypoints, of which the box is taken.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any, Iterator

from ...errors import UserError
from ..progress import counted
from .model import KEYPOINTS, MASKS, NO_LABELS, Box, DataSet, Options, Picture, clip
from .reading import (
    SPLIT_NAMES,
    Images,
    check_classes,
    class_file,
    image_size,
    missing,
    read_classes,
    read_text,
    split_folders,
    visible,
)

# Fractions are written with few digits, so that a box may cross the border by this much.
_SLACK = 0.01
_CONFIGS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


def read_yolo(root: Path, options: Options) -> DataSet:
    """Read a YOLO folder, or the YAML file of one.

    Splits and class names come from data.yaml; without it from the folders (images/train, train/images, or
    images/ alone) and from classes.txt, else from ``options.classes``. Raises UserError, one line that names
    file, line and field, for anything unsound.
    """
    config = _find_config(root)
    folder = root if root.is_dir() else root.parent
    notes: Counter[str] = Counter()
    if config is not None:
        content = _load(config)
        names, source = _names(content, config), f"the 'names' of {config}"
        parts = _parts_of_config(content, config)
        keypoints = content.get("kpt_shape") is not None
    else:
        keypoints = False
        listed = class_file(folder, folder / "labels")
        if listed is None and options.classes is None:
            raise UserError(f"{folder}: neither data.yaml nor classes.txt; name the classes with --classes")
        names = read_classes(listed) if listed else check_classes(options.classes or [], "--classes")
        source = str(listed or "--classes")
        parts = {split: Images(images) for split, images in _parts_of_folders(folder).items()}
    reader = _Reader(names, source, keypoints, options, notes)
    return DataSet(names, {split: reader.read(split, images) for split, images in parts.items()}, notes)


def looks_like_yolo(root: Path) -> bool:
    """Whether ``root`` is a YAML file, or holds one with class names, or labels/ with text files."""
    config = _find_config(root)
    if config is not None:
        return "names" in _load(config)
    folders = (root, *split_folders(root).values())
    return any(next((folder / "labels").rglob("*.txt"), None) is not None for folder in folders)


def _find_config(root: Path) -> Path | None:
    if root.is_file():
        return root if root.suffix in (".yaml", ".yml") else None
    return next((root / name for name in _CONFIGS if (root / name).is_file()), None)


def _load(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise UserError(f"{path}: not YAML{place}: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must have the keys 'names', 'train' and 'val'")
    return content


def _names(content: dict[str, Any], path: Path) -> list[str]:
    names = content.get("names")
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise UserError(f"{path}: the keys of 'names' must be 0 to {len(names) - 1}, each once")
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list):
        raise UserError(f"{path}: 'names' must be a list of class names, or their indices with names")
    checked = check_classes(names, f"{path}: 'names'")
    if "nc" in content and content["nc"] != len(checked):
        raise UserError(f"{path}: 'nc' is {content['nc']!r} but 'names' has {len(checked)}; correct one")
    return checked


def _parts_of_config(content: dict[str, Any], path: Path) -> dict[str, Images]:
    parts = {}
    for split in SPLIT_NAMES:
        key = next((k for k in (split, *SPLIT_NAMES[split]) if content.get(k)), None)
        if key is None:
            continue
        values = content[key] if isinstance(content[key], list) else [content[key]]
        if len(values) != 1 or not isinstance(values[0], str):
            raise UserError(f"{path}: '{key}' is {content[key]!r}; it must be one folder of images")
        parts[split] = Images(_folder(path, content.get("path"), key, values[0]))
    if not parts:
        raise UserError(f"{path}: lacks 'train'; give the folder of the training images")
    return parts


def _folder(config: Path, base: Any, key: str, value: str) -> Path:
    """The folder that ``key`` names: from ``path``, from the file itself, or from there without leading ../
    (which exporters write that expect the file one folder further down)."""
    home = config.parent
    # Some exporters write the backslashes of Windows.
    value = value if (home / value).is_dir() else value.replace("\\", "/")
    bases = [home / str(base), home] if base else [home]
    stripped = value
    while stripped.startswith(("../", "./")):
        stripped = stripped[stripped.index("/") + 1 :]
    candidates = [b / text for text in (value, stripped) for b in bases]
    for candidate in candidates:
        if candidate.is_dir():
            inner = candidate / "images"
            return inner if inner.is_dir() else candidate
    tried = " or ".join(dict.fromkeys(map(str, candidates)))
    raise UserError(f"{config}: '{key}' names {value}, and there is no folder {tried}; correct it or 'path'")


def _parts_of_folders(root: Path) -> dict[str, Path]:
    outer = {split: folder / "images" for split, folder in split_folders(root).items()}
    outer = {split: folder for split, folder in outer.items() if folder.is_dir()}
    found = outer or split_folders(root / "images")
    if not found and (root / "images").is_dir():
        found = {"train": root / "images"}
    return found or {"train": root}


def _label_root(images: Path) -> Path:
    """The folder of the label files: the last ``images`` of the path becomes ``labels``, else beside."""
    parts = list(images.parts)
    for index in range(len(parts) - 1, -1, -1):
        if parts[index] == "images":
            labels = Path(*parts[:index], "labels", *parts[index + 1 :])
            return labels if labels.is_dir() else images
    return images


class _Reader:
    def __init__(
        self, names: list[str], source: str, keypoints: bool, options: Options, notes: Counter[str]
    ) -> None:
        self._names, self._source, self._keypoints = names, source, keypoints
        self._options, self._notes = options, notes

    def read(self, split: str, images: Images) -> list[Picture]:
        labels = _label_root(images.folder)
        pictures: list[Picture] = []
        owner: dict[str, str] = {}
        for name in counted(images.names, f"reading {split}", self._options.progress):
            stem = name[: name.rindex(".")]
            if stem in owner:
                pair = f"{images.folder / owner[stem]} and {images.folder / name}"
                raise UserError(f"{pair} share the label file {labels / stem}.txt; rename one")
            owner[stem] = name
            path = labels / f"{stem}.txt"
            size = image_size(images.folder / name)
            boxes = list(self._boxes(path, size)) if path.is_file() else []
            if not path.is_file():
                self._notes[NO_LABELS + ", kept as images without objects"] += 1
            pictures.append(Picture(images.folder / name, name, *size, boxes))
        if pictures and not any((labels / f"{stem}.txt").is_file() for stem in owner):
            raise UserError(f"{images.folder}: none of its {len(owner)} images has a label file in {labels}")
        for path in visible(labels.rglob("*.txt")):
            stem = path.relative_to(labels).with_suffix("").as_posix()
            if stem not in owner and path.name not in ("classes.txt", "labels.txt"):
                missing(
                    f"{path}: its image {stem}.* is not in {images.folder}",
                    self._options.skip_missing,
                    self._notes,
                )
        return pictures

    def _boxes(self, path: Path, size: tuple[int, int]) -> Iterator[Box]:
        width, height = size
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            if not line.strip():
                continue
            words = line.split()
            if self._keypoints and len(words) > 5:
                words = words[:5]
                self._notes[KEYPOINTS] += 1
            label, values = self._parse(f"{path} line {number}", words)
            if len(values) == 4:
                x, y, w, h = values
                left, top, right, bottom = x - w / 2, y - h / 2, x + w / 2, y + h / 2
            else:
                xs, ys = values[::2], values[1::2]
                left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
                self._notes[MASKS] += 1
            xyxy = (left * width, top * height, right * width, bottom * height)
            xywh = clip(xyxy, width, height, self._notes)
            if xywh is not None:
                yield Box(label, xywh)

    def _parse(self, where: str, words: list[str]) -> tuple[int, list[float]]:
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise UserError(f"{where}: {' '.join(words)[:60]!r} is not all numbers") from None
        if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
            raise UserError(
                f"{where}: has {len(values)} numbers; it needs 5 (class, centre x, centre y, width, height)"
            )
        if not values[0].is_integer() or not 0 <= values[0] < len(self._names):
            raise UserError(
                f"{where}: class index {words[0]} is not one of the {len(self._names)} of {self._source}"
            )
        for word, value in zip(words[1:], values[1:]):
            if not (math.isfinite(value) and -_SLACK <= value <= 1 + _SLACK):
                raise UserError(f"{where}: {word} is no fraction of the image; it must be within 0 to 1")
        return int(values[0]), values[1:]
