"""COCO JSON as one of the formats that data sets are converted from and to."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import UserError
from ...files import new_text_file
from ..coco import has_split, locate_dataset
from ..coco_json import CocoFile, Row, load_json, read_coco
from ..progress import counted
from .model import FLAGS, MASKS, Box, DataSet, Options, Picture, clip
from .reading import SPLIT_NAMES, missing, read_bytes

# The columns that MLPerf's OpenImages files keep, and what they are here.
_OPENIMAGES = {
    "IsOccluded": "occluded",
    "IsTruncated": "truncated",
    "IsDepiction": "depiction",
    "IsInside": "inside",
}


def read_coco_set(root: Path, options: Options) -> DataSet:
    """Read a COCO folder in any layout that training takes, or a folder with one annotation file (itself or
    in annotations/), or that file. Classes are in the order of their ids. Raises UserError for unsound files.
    """
    notes: Counter[str] = Counter()
    splits = {}
    names: list[str] = []
    for split, (annotation, images) in _parts(root).items():
        file = read_coco(annotation)
        names = names or list(file.names)
        if list(file.names) != names:
            raise UserError(f"{annotation}: other categories than in the other splits; use one list for all")
        splits[split] = _pictures(split, file, images, options, notes)
    return DataSet(names, splits, notes)


def looks_like_coco(root: Path) -> bool:
    """Whether there is an annotation file for a split, or one alone."""
    if root.is_file():
        return root.suffix == ".json"
    if any(has_split(root, split) for split in SPLIT_NAMES):
        return True
    alone = _lone_files(root)
    # Other tools leave JSON files of their own beside their labels.
    return len(alone) == 1 and all(key in read_bytes(alone[0]) for key in (b'"images"', b'"annotations"'))


def _parts(root: Path) -> dict[str, tuple[Path, Path]]:
    if root.is_file():
        if root.suffix != ".json":
            raise UserError(f"{root}: not a COCO annotation file (.json)")
        return {"train": (root, _images_beside(root))}
    parts = {split: locate_dataset(root, split) for split in SPLIT_NAMES if has_split(root, split)}
    if parts:
        return parts
    alone = _lone_files(root)
    if len(alone) != 1:
        raise UserError(
            f"{root}: no annotations/instances_train.json and {len(alone)} other JSON files; "
            "give the annotation file as SOURCE"
        )
    return {"train": (alone[0], _images_beside(alone[0]))}


def _lone_files(root: Path) -> list[Path]:
    return sorted(root.glob("*.json")) or sorted((root / "annotations").glob("*.json"))


def _images_beside(annotation: Path) -> Path:
    home = annotation.parent
    if home.name == "annotations":
        home = home.parent
    return next((home / name for name in ("images", "train") if (home / name).is_dir()), home)


def _pictures(
    split: str, file: CocoFile, images: Path, options: Options, notes: Counter[str]
) -> list[Picture]:
    boxes = _boxes(file, notes)
    names = _inner_names(file, images)
    pictures = []
    rows = list(zip(file.file_names, names, file.widths.tolist(), file.heights.tolist(), boxes))
    seen: set[str] = set()
    for file_name, name, width, height, own in counted(rows, f"reading {split}", options.progress):
        path = images / file_name
        if name in seen:
            raise UserError(f"{file.path}: two images are called {file_name!r}; give each a file of its own")
        seen.add(name)
        if path.is_file():
            pictures.append(Picture(path, name, width, height, own))
        else:
            missing(f"{file.path}: its image {file_name} is not in {images}", options.skip_missing, notes)
    return pictures


def _inner_names(file: CocoFile, images: Path) -> list[str]:
    """Names that stay inside a folder also where file_name leads out of the images' folder."""
    paths = [PurePosixPath(name) for name in file.file_names]
    if not any(path.is_absolute() or ".." in path.parts for path in paths):
        return [str(path) for path in paths]
    real = [os.path.normpath(os.path.join(os.path.realpath(images), path)) for path in paths]
    base = os.path.commonpath([os.path.dirname(path) for path in real])
    return [Path(os.path.relpath(path, base)).as_posix() for path in real]


def _boxes(file: CocoFile, notes: Counter[str]) -> list[list[Box]]:
    boxes: list[list[Box]] = [[] for _ in file.image_ids]
    columns = (file.image_index.tolist(), file.category_index.tolist(), file.xywh.tolist())
    rows = zip(*columns, file.crowd.tolist(), file.area.tolist(), _extras(file.path))
    for image, label, (x, y, w, h), crowd, area, (outlined, flags) in rows:
        notes[MASKS] += outlined
        size = int(file.widths[image]), int(file.heights[image])
        xywh = clip((x, y, x + w, y + h), *size, notes)
        if xywh is not None:
            # Adding and subtracting again would change last digits of boxes that nothing clipped.
            inside = all(abs(a - b) < 1e-6 for a, b in zip(xywh, (x, y, w, h)))
            known = area if outlined else None
            boxes[image].append(Box(label, (x, y, w, h) if inside else xywh, crowd, known, flags))
    return boxes


def _extras(path: Path) -> list[tuple[bool, dict[str, int]]]:
    """Whether each annotation has an outline, and its flags; the rest was read and checked by read_coco."""

    def note(row: Row) -> Row:
        if "segmentation" in row:
            row["segmentation"] = bool(row["segmentation"])
        return row

    extras = []
    for row in load_json(path, note)["annotations"]:
        flags = {name: 1 for name in FLAGS if row.get(name) in (1, True)}
        flags.update({name: 1 for column, name in _OPENIMAGES.items() if row.get(column) in (1, True)})
        extras.append((bool(row.get("segmentation")), flags))
    return extras


def write_coco_split(
    path: Path, classes: list[str], pictures: list[Picture], names: list[str], description: str
) -> None:
    """Write one annotation file: ids from 1 in order, ``names`` as file names, coordinates to 1e-4 pixels."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (picture, name) in enumerate(zip(pictures, names), start=1):
        images.append({"id": number, "file_name": name, "width": picture.width, "height": picture.height})
        for box in picture.boxes:
            area = box.xywh[2] * box.xywh[3] if box.area is None else box.area
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": box.label + 1,
                    "bbox": [_tidy(side) for side in box.xywh],
                    "area": _tidy(area),
                    "iscrowd": int(box.crowd),
                    "segmentation": [],
                    **box.flags,
                }
            )
    content = {
        "info": {"description": description},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, start=1)],
    }
    with new_text_file(path) as stream:
        json.dump(content, stream)


def _tidy(value: float) -> float:
    """A ten-thousandth of a pixel is more than any label means, and hides the noise of fractions."""
    value = round(value, 4)
    return int(value) if value == int(value) else value
