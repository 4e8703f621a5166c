"""Reading OpenImages' CSV files: boxes as fractions of the image, classes by machine names (/m/...)."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Container, Iterator, NamedTuple

from ...errors import UserError
from ..progress import counted
from .model import Box, DataSet, Options, Picture, clip
from .reading import SPLIT_NAMES, Images, check_classes, image_size, missing

# The flags' columns, by the names that they have in other formats.
COLUMNS = {
    "IsOccluded": "occluded",
    "IsTruncated": "truncated",
    "IsGroupOf": "crowd",
    "IsDepiction": "depiction",
    "IsInside": "inside",
}
UNLABELLED = "images that the CSV does not name, kept as images without objects"
_FLAG_VALUES = {"0": 0, "1": 1, "-1": -1}
_NEEDED = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")


class Row(NamedTuple):
    """One box: image, machine name of the class, (left, top, right, bottom) as fractions, flags by column."""

    image: str
    label: str
    ltrb: tuple[float, float, float, float]
    flags: dict[str, int]


def read_boxes(path: Path, labels: Container[str] | None = None) -> Iterator[Row]:
    """Yield the rows of an annotations-bbox CSV in its order, of all classes or those in ``labels``.

    Flags are 1, 0, or -1 for unknown. Raises UserError, naming line and column, for anything unsound.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            lines = csv.reader(stream)
            header = [name.strip() for name in next(lines, [])]
            for column in _NEEDED:
                if column not in header:
                    raise UserError(
                        f"{path}: line 1 lacks the column {column!r}; is it annotations-bbox.csv?"
                    )
            image, label = header.index("ImageID"), header.index("LabelName")
            corners = [header.index(side) for side in ("XMin", "YMin", "XMax", "YMax")]
            flags = [(header.index(name), name) for name in COLUMNS if name in header]
            for line in lines:
                if not line:
                    continue
                if len(line) != len(header):
                    raise UserError(
                        f"{path} line {lines.line_num}: has {len(line)} fields, the header {len(header)}"
                    )
                if labels is not None and line[label] not in labels:
                    continue
                try:
                    left, top, right, bottom = sides = [float(line[k]) for k in corners]
                    marks = {name: _FLAG_VALUES[line[k]] for k, name in flags}
                except (ValueError, KeyError):
                    raise _problem(path, lines.line_num, header, line) from None
                if not all(-0.01 <= side <= 1.01 for side in sides):
                    raise _problem(path, lines.line_num, header, line)
                yield Row(line[image], line[label], (left, top, right, bottom), marks)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error})") from None


def _problem(path: Path, number: int, header: list[str], line: list[str]) -> UserError:
    """Build the error for the first field of a line that is not what it must be."""
    for column, text in zip(header, line):
        if column in ("XMin", "XMax", "YMin", "YMax"):
            try:
                sound = -0.01 <= float(text) <= 1.01
            except ValueError:
                sound = False
            if not sound:
                must = "a fraction of the image, 0 to 1"
                return UserError(f"{path} line {number}: {column} is {text!r}; it must be {must}")
        elif column in COLUMNS and text not in _FLAG_VALUES:
            return UserError(f"{path} line {number}: {column} is {text!r}; it must be 0, 1 or -1")
    raise AssertionError("only lines with something wrong come here")


def read_descriptions(path: Path) -> dict[str, str]:
    """Read class descriptions: machine name to display name, in the file's order. Raises UserError."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            rows = [(number, row) for number, row in enumerate(csv.reader(stream), start=1) if row]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error})") from None
    if rows and rows[0][1][0] in ("LabelName", "id", "ID"):
        rows = rows[1:]
    for number, row in rows:
        if len(row) != 2:
            raise UserError(f"{path} line {number}: has {len(row)} fields; it must be LabelName,DisplayName")
    check_classes([row[1] for _, row in rows], path)
    return {row[0]: row[1] for _, row in rows}


class _Part(NamedTuple):
    boxes: Path
    images: Path
    classes: Path


def read_openimages(root: Path, options: Options) -> DataSet:
    """Read a folder of OpenImages: fiftyone's layout (train/labels/detections.csv, train/data/ and
    train/metadata/classes.csv), or the official CSV files with class-descriptions-boxable.csv and the images
    in train/, train/data/ or images/train/.

    IsGroupOf 1 becomes the crowd flag. Raises UserError, one line, for anything unsound.
    """
    notes: Counter[str] = Counter()
    names: list[str] = []
    splits = {}
    for split, part in _parts(root).items():
        descriptions = read_descriptions(part.classes)
        names = names or list(descriptions.values())
        if list(descriptions.values()) != names:
            raise UserError(f"{part.classes}: other classes than in the other splits; use one list for all")
        splits[split] = _read_split(split, part, descriptions, options, notes)
    return DataSet(names, splits, notes)


def looks_like_openimages(root: Path) -> bool:
    """Whether there are box annotations in CSV files."""
    return any(_box_file(root, split) for split in SPLIT_NAMES)


def _box_file(root: Path, split: str) -> Path | None:
    for name in SPLIT_NAMES[split]:
        if (root / name / "labels" / "detections.csv").is_file():
            return root / name / "labels" / "detections.csv"
        for folder in (root, root / "annotations"):
            for prefix in ("", "oidv6-"):
                if (folder / f"{prefix}{name}-annotations-bbox.csv").is_file():
                    return folder / f"{prefix}{name}-annotations-bbox.csv"
    return None


def _parts(root: Path) -> dict[str, _Part]:
    parts = {}
    for split, names in SPLIT_NAMES.items():
        boxes = _box_file(root, split)
        if boxes is None:
            continue
        home = boxes.parent.parent
        folders = [root / name / "data" for name in names] + [root / name for name in names]
        folders += [root / "images" / name for name in names] + [root / "images"]
        images = next((folder for folder in folders if folder.is_dir()), None)
        if images is None:
            raise UserError(f"{root}: no images for {boxes.name}; looked for {names[0]}/data, {names[0]}")
        lists = [home / "metadata" / "classes.csv"]
        lists += [f for d in (root, root / "annotations") for f in sorted(d.glob("*class-descriptions*.csv"))]
        classes = next((file for file in lists if file.is_file()), None)
        if classes is None:
            raise UserError(f"{root}: no class list; add class-descriptions-boxable.csv")
        parts[split] = _Part(boxes, images, classes)
    if not parts:
        raise UserError(f"{root}: neither train/labels/detections.csv nor train-annotations-bbox.csv here")
    return parts


def _read_split(
    split: str, part: _Part, descriptions: dict[str, str], options: Options, notes: Counter[str]
) -> list[Picture]:
    place = {label: index for index, label in enumerate(descriptions)}
    rows: dict[str, list[Row]] = {}
    for row in read_boxes(part.boxes):
        if row.label not in place:
            raise UserError(f"{part.boxes}: LabelName {row.label!r} of {row.image} is not in {part.classes}")
        rows.setdefault(row.image, []).append(row)
    images = Images(part.images)
    pictures, used = [], set()
    for image, objects in counted(rows.items(), f"reading {split}", options.progress):
        name = images.find(image)
        if name is None:
            missing(f"{part.boxes}: its image {image} is not in {part.images}", options.skip_missing, notes)
            continue
        used.add(name)
        pictures.append(_picture(part.images, name, objects, place, notes))
    for name in images.names:
        if name not in used:
            notes[UNLABELLED] += 1
            pictures.append(_picture(part.images, name, [], place, notes))
    return sorted(pictures, key=lambda picture: picture.name)


def _picture(folder: Path, name: str, rows: list[Row], place: dict[str, int], notes: Counter[str]) -> Picture:
    width, height = image_size(folder / name)
    boxes = []
    for row in rows:
        left, top, right, bottom = row.ltrb
        xywh = clip((left * width, top * height, right * width, bottom * height), width, height, notes)
        if xywh is not None:
            flags = {COLUMNS[column]: 1 for column, value in row.flags.items() if value == 1}
            crowd = bool(flags.pop("crowd", 0))
            boxes.append(Box(place[row.label], xywh, crowd, None, flags))
    return Picture(folder / name, name, width, height, boxes)
