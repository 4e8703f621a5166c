"""The annotations of the VGG Image Annotator: a project, or its annotations as JSON or CSV.

Boxes count pixels from 0 in the upright picture, as the browser shows it. The class of a region is one of its
attributes: one with a usual name such as "class", else the most frequent one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..attributes import flags_of
from ..coco_json import load_json, parse_json
from .model import MASKS, NO_BOX, ROTATED, DataSet, Options, Picture
from .reading import choose_classes, peek, read_file, unneeded, visible
from .registry import NO, SURE, Format, register_format
from .sheet import Sheet
from .tables import csv_files, header_of, number, read_table, sheets_of, split_files

_CLASS_KEYS = ("class", "label", "name", "type", "category", "object", "object_name", "class_name")
# A folder with more files than this has one for each image, which VIA never writes.
_LOOKED_AT = 50
_COLUMNS = {"filename", "region_shape_attributes", "region_attributes"}
Region = tuple[str, dict[str, Any], dict[str, Any]]


@register_format
class Via(Format):
    """One JSON or CSV file for each split, or one for all images, which are anywhere below the folder."""

    name = "via"
    labels = (".json", ".csv")
    layout = "via_project.json, or JSON or CSV of regions with region_attributes"
    reading = "xywh"

    def detect(self, root: Path) -> int:
        return SURE if any(_fits(path, peek) for path in _files(root)[:_LOOKED_AT]) else NO

    def read(self, root: Path, options: Options) -> DataSet:
        files = [path for path in _files(root) if _fits(path, read_file)]
        if not files:
            raise UserError(f"{root}: neither JSON nor CSV of the VGG Image Annotator")
        lines: list[str] = []
        notes: Counter[str] = Counter()
        regions = {path: _regions(path) for path in files}
        key = _class_key(r for images in regions.values() for rows in images.values() for r in rows)
        if key is None:
            lines.append("regions have no attribute that could be a class; all are 'object'")
        names: dict[str, int] = {}
        home = root if root.is_dir() else root.parent
        splits: dict[str, list[Picture]] = {}
        for split, paths in split_files(root, files, lines).items():
            # By image, because a project and its export hold the same regions, which must not be counted
            # twice.
            images = {name: rows for path in paths for name, rows in regions[path].items()}
            with unneeded(split, lines):
                splits[split] = _read(split, paths[0], images, key, home, names, options, notes)
        return choose_classes(DataSet(list(names), splits, notes, lines), sorted(names))


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    found = [path for depth in ("*.json", "*/*.json") for path in root.glob(depth)]
    return [*visible(found), *csv_files(root)]


def _fits(path: Path, read: Callable[[Path], bytes]) -> bool:
    if path.suffix.lower() == ".csv":
        return set(header_of(path)) >= _COLUMNS
    if path.suffix.lower() != ".json":
        return False
    # Searched, not parsed: most JSON files of a folder are not VIA's.
    data = read(path)
    return b'"_via_img_metadata"' in data or (b'"shape_attributes"' in data and b'"filename"' in data)


def _regions(path: Path) -> dict[str, list[Region]]:
    """The regions of each image: place in messages, shape attributes, region attributes."""
    images: dict[str, list[Region]] = {}
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)
    for where, name, shape, attributes in rows:
        if not isinstance(shape, dict) or not isinstance(attributes, dict):
            raise UserError(f"{where}: shape and region attributes must be objects with keys")
        own = images.setdefault(name, [])
        # An empty shape only announces an image, so that images without regions are known.
        if shape:
            own.append((where, shape, attributes))
    return images


def _csv_rows(path: Path) -> Iterator[tuple[str, str, Any, Any]]:
    for where, row in read_table(path):
        shape, attributes = (
            parse_json((row[key] or "{}").encode(), Path(where), dict)
            for key in ("region_shape_attributes", "region_attributes")
        )
        yield where, row["filename"], shape, attributes


def _json_rows(path: Path) -> Iterator[tuple[str, str, Any, Any]]:
    content = load_json(path, dict)
    rows = content.get("_via_img_metadata", content) if isinstance(content, dict) else {}
    for key, row in rows.items():
        if not isinstance(row, dict) or not isinstance(row.get("filename"), str):
            raise UserError(f"{path}: {key!r} has no 'filename'; is it an export of VIA 2?")
        regions = row.get("regions") or []
        # Version 1 of VIA numbers the regions in a map.
        regions = list(regions.values()) if isinstance(regions, dict) else regions
        yield f"{path}: {key}", row["filename"], {}, {}
        for index, region in enumerate(regions if isinstance(regions, list) else [regions]):
            where = f"{path}: {row['filename']} region {index}"
            about = region if isinstance(region, dict) else {"shape_attributes": region}
            keys = "shape_attributes", "region_attributes"
            yield where, row["filename"], about.get(keys[0]) or {}, about.get(keys[1]) or {}


def _class_key(regions: Iterator[Region]) -> str | None:
    """The attribute that holds the class: one with a usual name, else the most frequent; None without any."""
    counts: Counter[str] = Counter(key for _, _, attributes in regions for key in attributes)
    by_name = {key.casefold(): key for key in counts}
    usual = next((by_name[key] for key in _CLASS_KEYS if key in by_name), None)
    return usual or (counts.most_common(1)[0][0] if counts else None)


def _read(
    split: str,
    path: Path,
    images: dict[str, list[Region]],
    key: str | None,
    root: Path,
    names: dict[str, int],
    options: Options,
    notes: Counter[str],
) -> list[Picture]:
    pictures = []
    for sheet, regions in sheets_of(split, path, images, root, options, notes):
        for where, shape, attributes in regions:
            label = names.setdefault(_class_of(where, attributes, key), len(names))
            _add(sheet, label, where, shape, flags_of(attributes))
        pictures.append(sheet.picture())
    return pictures


def _add(sheet: Sheet, label: int, where: str, shape: dict[str, Any], flags: list[str]) -> None:
    kind = shape.get("name")
    if kind == "rect":
        values = [number(where, key, shape.get(key)) for key in ("x", "y", "width", "height")]
        sheet.add_values(label, values, "xywh", flags=flags)
        return
    box = shape_box(shape, where)
    if box is None:
        sheet.lose(label, NO_BOX)
    else:
        notes = [ROTATED if kind == "ellipse" and shape.get("theta") else MASKS]
        sheet.add_outline(label, box, "xyxy" if kind == "polygon" else "cxcywh", flags=flags, notes=notes)


def shape_box(shape: dict[str, Any], where: str) -> tuple[float, float, float, float] | None:
    """Returns the box around a shape, None for points, lines and the like.

    Of a polygon these are the corners; of a circle or an ellipse centre, width and height.
    """
    kind = shape.get("name")
    if kind in ("circle", "ellipse"):
        x, y = (number(where, key, shape.get(key)) for key in ("cx", "cy"))
        keys = ("r", "r") if kind == "circle" else ("rx", "ry")
        wide, high = (number(where, key, shape.get(key)) for key in keys)
        angle = number(where, "theta", shape.get("theta") or 0)
        # The half extents of an ellipse with half axes a and b that is turned by theta.
        across = math.hypot(wide * math.cos(angle), high * math.sin(angle))
        down = math.hypot(wide * math.sin(angle), high * math.cos(angle))
        return x, y, 2 * across, 2 * down
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if kind != "polygon" or not isinstance(xs, list) or not isinstance(ys, list) or not xs or not ys:
        return None
    xs, ys = [number(where, "all_points_x", x) for x in xs], [number(where, "all_points_y", y) for y in ys]
    return min(xs), min(ys), max(xs), max(ys)


def _class_of(where: str, attributes: dict[str, Any], key: str | None) -> str:
    if key is None:
        return "object"
    value = attributes.get(key)
    if isinstance(value, dict):
        # A checkbox holds all of its choices; the first that is set is the class.
        value = next((name for name, chosen in value.items() if chosen), None)
    text = str(value).strip() if value is not None else ""
    if not text:
        raise UserError(f"{where}: lacks the attribute {key!r}, which holds the classes; give it")
    return text
