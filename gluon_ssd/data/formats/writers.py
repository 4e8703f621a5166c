"""Writing a data set as COCO, Pascal VOC, YOLO or OpenImages CSV into a new folder."""

from __future__ import annotations

import contextlib
import csv
from pathlib import Path, PurePosixPath
from typing import IO, Iterator
from xml.sax.saxutils import escape

from ...errors import UserError
from ...version import __version__
from .coco import write_coco_split
from .model import FLAGS_LOST, Box, DataSet, Options, Picture
from .openimages import COLUMNS
from .placing import Placer, flat_names, label_clash

ROUNDED = "boxes rounded to whole pixels"
CROWD_AS_DIFFICULT = "crowd regions, marked difficult"
CROWD_DROPPED = "crowd regions, left out"
RENAMED = "images renamed, since several have one name"
INNER_IMAGES = "images in a sub-folder images, renamed images_, since labels are found by that name"
_SPLIT_FOLDERS = {"val": "validation"}


def write_coco(data: DataSet, place: Placer, options: Options) -> None:
    """annotations/instances_{split}.json and {split}/, as training opens it.

    Where images stay where they are, {split}/ is empty and file names lead from there to them.
    """
    for split, pictures in data.splits.items():
        (place.partial / split).mkdir(parents=True)
        names = []
        for picture in pictures:
            place.put(picture, f"{split}/{picture.name}")
            names.append(place.reference(picture, split) if place.mode == "none" else picture.name)
        path = place.partial / "annotations" / f"instances_{split}.json"
        write_coco_split(path, data.classes, pictures, names, f"written by gluon_ssd {__version__}")


def write_voc(data: DataSet, place: Placer, options: Options) -> None:
    """Annotations/, JPEGImages/, ImageSets/Main/{split}.txt, and classes.txt for the order of the classes."""
    root = place.partial
    stems = flat_names(data, shared=True)
    for split, pictures in data.splits.items():
        listed = []
        for picture in pictures:
            stem = stems[split, picture.name]
            if stem.strip().splitlines() != [stem]:
                raise UserError(f"{picture.file}: the lists of VOC cannot hold such a name; rename the image")
            data.notes[RENAMED] += stem != PurePosixPath(picture.name).stem
            file = stem + PurePosixPath(picture.name).suffix
            place.put(picture, f"JPEGImages/{file}")
            with _new_text(root / "Annotations" / f"{stem}.xml") as stream:
                stream.write(_voc_xml(picture, file, data, options.voc_origin))
            listed.append(stem)
        _write_lines(root / "ImageSets" / "Main" / f"{split}.txt", listed)
    _write_lines(root / "classes.txt", data.classes)


def _voc_xml(picture: Picture, file: str, data: DataSet, origin: int) -> str:
    lines = ["<annotation>", "  <folder>JPEGImages</folder>", f"  <filename>{escape(file)}</filename>"]
    size = f"<width>{picture.width}</width><height>{picture.height}</height><depth>3</depth>"
    lines += [f"  <size>{size}</size>", "  <segmented>0</segmented>"]
    for box in picture.boxes:
        data.notes[CROWD_AS_DIFFICULT] += box.crowd
        data.notes[FLAGS_LOST] += bool(set(box.flags) & {"depiction", "inside"})
        difficult = int(box.crowd or "difficult" in box.flags)
        corners = _voc_corners(box, picture, data, origin)
        keys = ("xmin", "ymin", "xmax", "ymax")
        sides = "".join(f"<{key}>{value}</{key}>" for key, value in zip(keys, corners))
        lines += [
            "  <object>",
            f"    <name>{escape(data.classes[box.label])}</name>",
            "    <pose>Unspecified</pose>",
            f"    <truncated>{box.flags.get('truncated', 0)}</truncated>",
            f"    <difficult>{difficult}</difficult>",
            f"    <occluded>{box.flags.get('occluded', 0)}</occluded>",
            f"    <bndbox>{sides}</bndbox>",
            "  </object>",
        ]
    return "\n".join((*lines, "</annotation>", ""))


def _voc_corners(box: Box, picture: Picture, data: DataSet, origin: int) -> tuple[int, int, int, int]:
    """Whole pixels, at least one wide and high; see voc.py for the convention."""
    x, y, w, h = box.xywh
    left, right = _whole(x, x + w, picture.width)
    top, bottom = _whole(y, y + h, picture.height)
    data.notes[ROUNDED] += (left, top, right, bottom) != (x, y, x + w, y + h)
    return left + origin, top + origin, right, bottom


def _whole(low: float, high: float, limit: int) -> tuple[int, int]:
    first, last = int(low + 0.5), int(high + 0.5)
    if last <= first:
        first = min(int(low), limit - 1)
        last = first + 1
    return first, last


def write_yolo(data: DataSet, place: Placer, options: Options) -> None:
    """images/{split}/, labels/{split}/*.txt with ten decimals, and data.yaml, as Ultralytics reads it.

    Crowd regions are left out: as ordinary objects they would teach one box for many things.
    """
    import yaml

    root = place.partial
    for split, pictures in data.splits.items():
        (root / "images" / split).mkdir(parents=True)
        taken: dict[PurePosixPath, Path] = {}
        for picture in pictures:
            name = _yolo_name(picture, data)
            stem = PurePosixPath(name).with_suffix("")
            if stem in taken:
                raise label_clash(taken[stem], picture.file)
            taken[stem] = picture.file
            place.put(picture, f"images/{split}/{name}")
            lines = [line for box in picture.boxes for line in _yolo_line(box, picture, data)]
            _write_lines(root / "labels" / split / f"{stem}.txt", lines)
    content = {**{split: f"images/{split}" for split in data.splits}, "names": dict(enumerate(data.classes))}
    with _new_text(root / "data.yaml") as stream:
        yaml.safe_dump(content, stream, sort_keys=False, allow_unicode=True)


def _yolo_name(picture: Picture, data: DataSet) -> str:
    """The name below images/{split}/: the last folder called images tells where the labels are."""
    *folders, leaf = PurePosixPath(picture.name).parts
    data.notes[INNER_IMAGES] += "images" in folders
    return "/".join((*("images_" if folder == "images" else folder for folder in folders), leaf))


def _yolo_line(box: Box, picture: Picture, data: DataSet) -> list[str]:
    """The line of one object, none for a crowd region."""
    data.notes[FLAGS_LOST] += bool(box.flags)
    if box.crowd:
        data.notes[CROWD_DROPPED] += 1
        return []
    (x, y, w, h), width, height = box.xywh, picture.width, picture.height
    sides = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
    return [" ".join((str(box.label), *map(_fraction, sides)))]


def write_openimages(data: DataSet, place: Placer, options: Options) -> None:
    """{split}/data/, {split}/labels/detections.csv, {split}/metadata/classes.csv and image_ids.csv.

    Machine names are the class names, since other formats have no /m/... names.
    """
    root = place.partial
    stems = flat_names(data, shared=False)
    for split, pictures in data.splits.items():
        folder = _SPLIT_FOLDERS.get(split, split)
        (root / folder / "data").mkdir(parents=True)
        ids, rows = [["ImageID"]], [_csv_header()]
        for picture in pictures:
            stem = stems[split, picture.name]
            data.notes[RENAMED] += stem != PurePosixPath(picture.name).stem
            place.put(picture, f"{folder}/data/{stem}{PurePosixPath(picture.name).suffix}")
            ids.append([stem])
            for box in picture.boxes:
                data.notes[FLAGS_LOST] += "difficult" in box.flags
                rows.append(_csv_row(stem, picture, box, data.classes))
        _write_csv(root / folder / "labels" / "detections.csv", rows)
        _write_csv(root / folder / "metadata" / "image_ids.csv", ids)
        names = [["LabelName", "DisplayName"], *([name, name] for name in data.classes)]
        _write_csv(root / folder / "metadata" / "classes.csv", names)


def _csv_header() -> list[str]:
    return ["ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax", *COLUMNS]


def _csv_row(stem: str, picture: Picture, box: Box, classes: list[str]) -> list[str]:
    x, y, w, h = box.xywh
    sides = (x / picture.width, (x + w) / picture.width, y / picture.height, (y + h) / picture.height)
    flags = {**box.flags, "crowd": int(box.crowd)}
    marks = [str(flags.get(name, 0)) for name in COLUMNS.values()]
    return [stem, "gluon_ssd", classes[box.label], "1", *map(_fraction, sides), *marks]


def _fraction(value: float) -> str:
    """Ten decimals: a millionth of a pixel in an image of ten thousand."""
    return f"{value:.10f}".rstrip("0").rstrip(".")


def _write_lines(path: Path, lines: list[str]) -> None:
    with _new_text(path) as stream:
        stream.writelines(f"{line}\n" for line in lines)


def _write_csv(path: Path, rows: list[list[str]]) -> None:
    with _new_text(path) as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


@contextlib.contextmanager
def _new_text(path: Path) -> Iterator[IO[str]]:
    """A text file (UTF-8, Unix line ends); the folder around it is published whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        yield stream
