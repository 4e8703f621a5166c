"""COCO JSON: reading any layout of `coco_layouts`, and writing what training opens."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import UserError
from ...version import __version__
from ..attributes import is_set, rotation_of
from ..coco import settle, unused_parents
from ..coco_json import SAME_NAME, CocoFile, Row, load_json, read_coco
from ..coco_layouts import find_layout, image_folder
from ..progress import counted
from .model import FLAGS, MASKS, RESPELLED, ROTATED, DataSet, Options, Picture
from .placing import Placer, new_text
from .reading import missing, unneeded
from .registry import LIKELY, NO, SURE, Format, register_format
from .sheet import Sheet

# The columns that MLPerf's OpenImages files keep, and their names here.
_OPENIMAGES = {
    "IsOccluded": "occluded",
    "IsTruncated": "truncated",
    "IsDepiction": "depiction",
    "IsInside": "inside",
}


@register_format
class Coco(Format):
    """COCO's annotation files."""

    name = "coco"
    labels = (".json",)
    layout = "annotations/instances_train.json, or one JSON file with images, annotations, categories"
    reading = "xywh"

    def detect(self, root: Path) -> int:
        files = find_layout(root).files
        if not files:
            return NO
        # Other tools write lone JSON files as well, so that one at the top is a weaker sign than one in a
        # folder.
        return SURE if root.is_file() or any(path.parent != root for path in files.values()) else LIKELY

    def read(self, root: Path, options: Options) -> DataSet:
        layout = find_layout(root)
        if not layout.files:
            raise UserError(f"{root}: no COCO annotation file (.json with images, annotations, categories)")
        notes: Counter[str] = Counter()
        files = {}
        for split, path in layout.files.items():
            with unneeded(split, layout.lines):
                files[split] = read_coco(path)
        if not files:
            raise UserError(layout.lines[-1])
        names = _common_classes(files, layout.lines)
        splits = {}
        for split, file in files.items():
            images = image_folder(root, split, file.path, file.file_names)
            with unneeded(split, layout.lines):
                splits[split] = _pictures(split, file, images, names, options, notes)
            # All other notes come back with the objects and images that are kept, and are counted there.
            notes[SAME_NAME] += file.notes[SAME_NAME]
        return DataSet(names, splits, notes, layout.lines)

    def write(self, data: DataSet, place: Placer, options: Options) -> None:
        """Writes annotations/instances_{split}.json and {split}/, as training opens them.

        Where images stay where they are, {split}/ is empty and file names lead from there to them.
        """
        for split, pictures in data.splits.items():
            (place.partial / split).mkdir(parents=True)
            names = []
            for picture in pictures:
                place.put(picture, f"{split}/{picture.name}")
                names.append(place.reference(picture, split) if place.mode == "none" else picture.name)
            content = {
                "info": {"description": f"written by gluon_ssd {__version__}"},
                **coco_content(data.classes, pictures, names),
            }
            with new_text(place.partial / "annotations" / f"instances_{split}.json") as stream:
                json.dump(content, stream)


def _common_classes(files: dict[str, CocoFile], lines: list[str]) -> list[str]:
    """The classes of the first file by ascending id, then those that only other files have.

    Ids may differ between the files, so classes are told apart by their names.
    """
    names: list[str] = []
    # A category is no class only if no file has a box of it.
    unused = set.intersection(*(set(unused_parents(f)) | _absent(f, files) for f in files.values()))
    for split, file in files.items():
        new = [name for name in file.names if name not in names and name not in unused]
        if names and new:
            lines.append(f"classes that only {split} has: {', '.join(map(repr, new))}")
        names += new
    lines += [
        f"category {name!r} has no box and only stands for others; it is no class" for name in sorted(unused)
    ]
    return names


def _absent(file: CocoFile, files: dict[str, CocoFile]) -> set[str]:
    """The names of categories that other files have and this one lacks."""
    return {name for other in files.values() for name in other.names} - set(file.names)


def _pictures(
    split: str, raw: CocoFile, images: Path, classes: list[str], options: Options, notes: Counter[str]
) -> list[Picture]:
    file = settle(raw, images, options.orientation)
    objects = _objects(file)
    label_of = [classes.index(name) if name in classes else -1 for name in file.names]
    names = _inner_names(file, images)
    declared = list(zip(raw.widths.tolist(), raw.heights.tolist()))
    pictures = []
    seen: set[str] = set()
    rows = list(zip(file.file_names, raw.file_names, names, declared, objects))
    for index, (file_name, spelt, name, size, own) in enumerate(
        counted(rows, f"reading {split}", options.progress)
    ):
        path = images / file_name
        if name in seen:
            raise UserError(f"{file.path}: two images are called {file_name!r}; give each a file of its own")
        seen.add(name)
        if not os.path.isfile(path):  # unlike pathlib's, it is False for a name that is too long
            missing(f"{file.path}: its image {spelt} is not in {images}", options.skip_missing, notes)
            continue
        # What the file says of an image is better than the caller's choice for all of them.
        way = raw.orientations.get(index)
        chosen = options._replace(orientation=way) if way else options
        sheet = Sheet(path, name, chosen, size)
        sheet.note(*[RESPELLED] * (file_name != spelt))
        for label, xywh, crowd, area, outlined, rotated, flags in own:
            about = {"crowd": crowd, "area": area if outlined else None, "flags": flags}
            noted = [MASKS] * outlined + [ROTATED] * rotated
            sheet.add_values(label_of[label], xywh, "xywh", **about, notes=noted)
        pictures.append(sheet.picture())
    return pictures


def _inner_names(file: CocoFile, images: Path) -> list[str]:
    """The names of images inside the new folder, also where file_name leads out of the images' folder."""
    paths = [PurePosixPath(name) for name in file.file_names]
    if not any(path.is_absolute() or ".." in path.parts for path in paths):
        return [str(path) for path in paths]
    # The folder that all images have in common takes the place of the images' folder.
    real = [os.path.normpath(os.path.join(os.path.realpath(images), path)) for path in paths]
    base = os.path.commonpath([os.path.dirname(path) for path in real])
    return [Path(os.path.relpath(path, base)).as_posix() for path in real]


def _objects(file: CocoFile) -> list[list[tuple[Any, ...]]]:
    """The objects of each image: category, x y width height, crowd, area, outlined, rotated, flags."""
    objects: list[list[tuple[Any, ...]]] = [[] for _ in file.image_ids]
    columns = (file.image_index, file.category_index, file.xywh, file.crowd, file.area)
    for image, label, xywh, crowd, area, extra in zip(*(c.tolist() for c in columns), _extras(file.path)):
        objects[image].append((label, xywh, crowd, area, *extra))
    return objects


def _extras(path: Path) -> list[tuple[bool, bool, list[str]]]:
    """What `read_coco` does not keep of each annotation: is there an outline, is it turned, its flags."""

    def note(row: Row) -> Row:
        # Whether there is an outline is enough; its numbers would fill the memory.
        if "segmentation" in row:
            row["segmentation"] = bool(row["segmentation"])
        return row

    extras = []
    for row in load_json(path, note)["annotations"]:
        inner = row.get("attributes")
        # CVAT puts what COCO has no key for into "attributes".
        row = {**inner, **row} if type(inner) is dict else row
        flags = [name for name in (*FLAGS, "ignore") if is_set(row.get(name))]
        flags += [name for column, name in _OPENIMAGES.items() if is_set(row.get(column))]
        extras.append((bool(row.get("segmentation")), rotation_of(row.get("rotation")) != 0, flags))
    return extras


def coco_content(classes: list[str], pictures: list[Picture], names: list[str]) -> dict[str, Any]:
    """Returns images, annotations and categories as COCO has them, with ``names`` as the file names.

    Ids count from 1 in the order given, and boxes are rounded to 1e-4 pixels. An image that EXIF turns has
    the key "orientation": its boxes are for the upright picture.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (picture, name) in enumerate(zip(pictures, names), start=1):
        images.append({"id": number, "file_name": name, "width": picture.width, "height": picture.height})
        if picture.turned:
            images[-1]["orientation"] = "upright"
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
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _tidy(value: float) -> float:
    """The value rounded to four decimals.

    A ten-thousandth of a pixel is more than any label means, and rounding hides the noise of fractions.
    """
    value = round(value, 4)
    return int(value) if value == int(value) else value
