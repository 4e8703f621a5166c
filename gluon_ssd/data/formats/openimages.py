"""OpenImages' CSV files: boxes as fractions of the image, classes by machine names (/m/...)."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ...errors import UserError
from ...files import is_text
from ..finder import Finder
from ..images import file_header
from ..orientation import turned_box_back
from ..progress import counted
from ..splits import SPLITS
from .model import FLAGS_LOST, RESPELLED, Box, DataSet, Options, Picture
from .placing import RENAMED, Placer, flat_names, fraction, new_text
from .reading import Images, below, check_names, missing, unneeded
from .registry import NO, SURE, Format, register_format
from .sheet import Sheet

# The columns of flags, and the names that the flags have in other formats.
COLUMNS = {
    "IsOccluded": "occluded",
    "IsTruncated": "truncated",
    "IsGroupOf": "crowd",
    "IsDepiction": "depiction",
    "IsInside": "inside",
}
UNLABELLED = "images that the CSV does not name, kept as images without objects"
_FLAG_VALUES = {"0": 0, "1": 1, "-1": -1}
_NAMES = {
    "train": ("train", "train2017"),
    "val": ("val", "valid", "validation", "val2017"),
    "test": ("test",),
}
_SPLIT_FOLDERS = {"val": "validation"}
_NEEDED = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")


class Row(NamedTuple):
    """One box: image, machine name of the class, (left, top, right, bottom) as fractions, flags by column."""

    image: str
    label: str
    ltrb: tuple[float, float, float, float]
    flags: dict[str, int]


def read_boxes(path: Path, labels: Container[str] | None = None) -> Iterator[Row]:
    """Yields the rows of an annotations-bbox CSV in its order: of all classes, or of those in ``labels``.

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
                # Looked at before the numbers are: a subset of the classes is wanted from millions of lines.
                if labels is not None and line[label] not in labels:
                    continue
                try:
                    left, top, right, bottom = sides = [float(line[k]) for k in corners]
                    marks = {name: _FLAG_VALUES[line[k]] for k, name in flags}
                except (ValueError, KeyError):
                    # Which field is wrong is searched only now, so that sound lines are read fast.
                    raise _problem(path, lines.line_num, header, line) from None
                if not all(-0.01 <= side <= 1.01 for side in sides):
                    raise _problem(path, lines.line_num, header, line)
                yield Row(line[image], line[label], (left, top, right, bottom), marks)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error})") from None


def _problem(path: Path, number: int, header: list[str], line: list[str]) -> UserError:
    """The error for the first field of a line that is not what it must be."""
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
    """Returns class descriptions, machine name to display name, in the file's order. Raises UserError."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            rows = [(number, row) for number, row in enumerate(csv.reader(stream), start=1) if row]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error})") from None
    # The official file has no header, fiftyone's has one.
    if rows and rows[0][1][0] in ("LabelName", "id", "ID"):
        rows = rows[1:]
    for number, row in rows:
        if len(row) != 2:
            raise UserError(f"{path} line {number}: has {len(row)} fields; it must be LabelName,DisplayName")
    check_names([row[1] for _, row in rows], path)
    return {row[0]: row[1] for _, row in rows}


class _Part(NamedTuple):
    boxes: Path
    images: Path
    classes: Path


@register_format
class OpenImages(Format):
    """A folder of OpenImages, as fiftyone lays it out or with the official CSV files.

    Fiftyone writes train/labels/detections.csv, train/data/ and train/metadata/classes.csv. The official CSV
    files need class-descriptions-boxable.csv and the images in train/, train/data/ or images/train/.
    IsGroupOf 1 becomes the crowd flag. Boxes are for the stored pixels, as MLPerf's reference takes them.
    """

    name = "openimages"
    labels = (".csv",)
    layout = "train-annotations-bbox.csv with class-descriptions-boxable.csv, or fiftyone's folders"

    def detect(self, root: Path) -> int:
        return SURE if any(_box_file(root, split) for split in SPLITS) else NO

    def read(self, root: Path, options: Options) -> DataSet:
        notes: Counter[str] = Counter()
        names: list[str] = []
        lines: list[str] = []
        splits = {}
        for split, part in _parts(root, lines).items():
            with unneeded(split, lines):
                descriptions = read_descriptions(part.classes)
                names = names or list(descriptions.values())
                if list(descriptions.values()) != names:
                    raise UserError(
                        f"{part.classes}: other classes than in the other splits; use one list for all"
                    )
                splits[split] = _read_split(split, part, descriptions, options, notes)
        return DataSet(names, splits, notes, lines)

    def write(self, data: DataSet, place: Placer, options: Options) -> None:
        write_openimages(data, place)


def _box_file(root: Path, split: str) -> Path | None:
    """The CSV of boxes of a split, in either layout; None where there is none."""
    for name in _NAMES[split]:
        if (root / name / "labels" / "detections.csv").is_file():
            return root / name / "labels" / "detections.csv"
        for folder in (root, root / "annotations"):
            for prefix in ("", "oidv6-"):
                if (folder / f"{prefix}{name}-annotations-bbox.csv").is_file():
                    return folder / f"{prefix}{name}-annotations-bbox.csv"
    return None


def _parts(root: Path, lines: list[str]) -> dict[str, _Part]:
    """The boxes, images and class list of each split. Raises UserError where one of them is missing."""
    found = {split: boxes for split in _NAMES for boxes in [_box_file(root, split)] if boxes}
    if not found:
        raise UserError(f"{root}: neither train/labels/detections.csv nor train-annotations-bbox.csv here")
    parts = {}
    for split, boxes in found.items():
        with unneeded(split, lines):
            parts[split] = _part(root, _NAMES[split], boxes)
    return parts


def _part(root: Path, names: Sequence[str], boxes: Path) -> _Part:
    # FiftyOne gives each split its own metadata/; the official CSV files share one list.
    home = boxes.parent.parent if boxes.name == "detections.csv" else root
    # FiftyOne puts the images into data/, the official download straight into the folder of the split.
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
    return _Part(boxes, images, classes)


def _read_split(
    split: str, part: _Part, descriptions: dict[str, str], options: Options, notes: Counter[str]
) -> list[Picture]:
    place = {label: index for index, label in enumerate(descriptions)}
    rows: dict[str, list[Row]] = {}
    for row in read_boxes(part.boxes):
        if row.label not in place:
            raise UserError(f"{part.boxes}: LabelName {row.label!r} of {row.image} is not in {part.classes}")
        rows.setdefault(row.image, []).append(row)
    images, finder = Images(part.images), Finder([part.images], part.images)
    pictures, used = [], set()
    for image, objects in counted(rows.items(), f"reading {split}", options.progress):
        name = images.find(image)
        found = None if name else finder.find(image)
        # A name that leads out of the folder, such as "../a.jpg", is that of no image in it.
        if found and (name := below(found[0], part.images)):
            notes[RESPELLED] += 1
        if name is None:
            missing(f"{part.boxes}: its image {image} is not in {part.images}", options.skip_missing, notes)
            continue
        used.add(name)
        pictures.append(_picture(part.images, name, objects, place, options))
    for name in images.names:
        if name not in used:
            # The CSV has no row for an image without objects, so an image that it does not name is one of
            # those.
            notes[UNLABELLED] += 1
            pictures.append(_picture(part.images, name, [], place, options))
    return sorted(pictures, key=lambda picture: picture.name)


def _picture(folder: Path, name: str, rows: list[Row], place: dict[str, int], options: Options) -> Picture:
    sheet = Sheet(folder / name, name, options, usual="stored")
    width, height = sheet.size
    for row in rows:
        left, top, right, bottom = row.ltrb
        flags = [COLUMNS[column] for column, value in row.flags.items() if value == 1]
        corners = left * width, top * height, right * width, bottom * height
        sheet.add(place[row.label], corners, crowd="crowd" in flags, flags=flags)
    return sheet.picture()


def write_openimages(data: DataSet, place: Placer) -> None:
    """Writes {split}/data/, {split}/labels/detections.csv, and two lists in {split}/metadata/.

    The lists are classes.csv and image_ids.csv. Machine names are the class names, since other formats have
    no /m/... names.
    """
    root = place.partial
    stems = flat_names(data, shared=False)
    for split, pictures in data.splits.items():
        folder = _SPLIT_FOLDERS.get(split, split)
        (root / folder / "data").mkdir(parents=True)
        ids, rows = [["ImageID"]], [_csv_header()]
        for picture in pictures:
            stem = stems[split, picture.name]
            if not is_text(stem):
                raise UserError(f"{picture.file}: a CSV in UTF-8 cannot hold such a name; rename the image")
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
    ltrb, (width, height) = (x, y, x + w, y + h), (picture.width, picture.height)
    if picture.turned:
        # The fractions are of the stored pixels, as they are read.
        header = file_header(picture.file)
        ltrb, (width, height) = turned_box_back(ltrb, header.size, header.orientation), header.size
    sides = ltrb[0] / width, ltrb[2] / width, ltrb[1] / height, ltrb[3] / height
    flags = {**box.flags, "crowd": int(box.crowd)}
    marks = [str(flags.get(name, 0)) for name in COLUMNS.values()]
    return [stem, "gluon_ssd", classes[box.label], "1", *map(fraction, sides), *marks]


def _write_csv(path: Path, rows: list[list[str]]) -> None:
    with new_text(path) as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
