"""Parses and checks one COCO annotation file into columns."""

from __future__ import annotations

import gc
import json
import math
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

import numpy as np

from ..errors import UserError
from ..files import is_text
from .attributes import enclosing, is_set, rotation_of
from .choices import ORIENTATIONS

Row = dict[str, Any]
# What is taken otherwise than it stands in a file, in the words of the summary.
ROTATED = "rotated boxes, of which the enclosing upright box is kept"
IGNORED = "objects marked ignore, taken as crowd regions: training and evaluation ignore them"
CROWD = "crowd regions, which training and evaluation ignore"
OCCLUDED = "objects marked occluded, kept as the others"
DIFFICULT_KEPT = "objects marked difficult, kept as the others"
RESPELLED = "images found under another spelling of the name that the labels give"
NO_SIZE = "images whose annotation gives no size; the file's is taken"
UNSIZED_TURNED = (
    "images that EXIF turns and whose annotation gives no size; boxes are assumed to be for the upright "
    "picture (--orientation stored or upright decides)"
)
SAME_NAME = "categories of the same name as another, taken as one"
SECTIONS = ("images", "annotations", "categories")
# No side or area is so large, and sums and products of two such numbers still fit a float64.
_LIMIT = 2.0**63


@dataclass(frozen=True)
class CocoFile:
    """A checked annotation file, with one array per field.

    Images (n): ``image_ids`` int64, ``file_names``, ``widths`` and ``heights`` int64; a width and height of 0
    are unknown. Categories by ascending id: ``category_ids`` and ``names``; categories of one name are merged
    into one, which has the id that most annotations use. Annotations (m), in the file's order and none left
    out: ``ids`` int64, ``image_index`` and ``category_index`` int64 into the lists above, ``xywh`` float64
    (m, 4) pixels, ``area`` float64 (width x height where the file has none), ``crowd`` bool.

    ``orientations`` has, by the index of the image, "stored" or "upright" where the file says which of the
    two its boxes are for. ``notes`` counts what was taken otherwise than it stands there. ``supercategories``
    are those that categories of another name give.
    """

    path: Path
    image_ids: np.ndarray
    file_names: list[str]
    widths: np.ndarray
    heights: np.ndarray
    category_ids: tuple[int, ...]
    names: tuple[str, ...]
    ids: np.ndarray
    image_index: np.ndarray
    category_index: np.ndarray
    xywh: np.ndarray
    area: np.ndarray
    crowd: np.ndarray
    orientations: dict[int, str] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    supercategories: frozenset[str] = frozenset()


def read_coco(path: Path) -> CocoFile:
    """Reads and checks a COCO detection file. Segmentations are not kept.

    Raises UserError, one line with file, place and remedy, for what cannot be read, is not JSON, or is
    refused by `parse_coco`.
    """
    return parse_coco(load_json(path), path)


def parse_coco(content: Any, path: Path) -> CocoFile:
    """Checks the content of a COCO detection file, which messages call ``path``.

    Objects marked "ignore" become crowd regions, and a box with a "rotation" (CVAT) becomes the upright box
    around it.

    Raises UserError for what a file must not have: missing keys; ids that are duplicate, unknown or not
    integers; boxes with NaN or without four numbers; no images or no categories. Boxes without a size are
    left to the caller.
    """
    images, annotations, categories = (section(content, key, path) for key in SECTIONS)
    for name, rows in (("images", images), ("categories", categories)):
        if not rows:
            raise UserError(f"{path}: '{name}' is empty; a data set needs at least one entry there")

    image_ids = _integers(images, "id", "images", path)
    _refuse_duplicates(image_ids, "images", path)
    widths, heights = (_sides(images, key, path) for key in ("width", "height"))
    for name, sides in (("width", widths), ("height", heights)):
        if (sides < 0).any():
            row = int(np.argmax(sides < 0))
            raise UserError(
                f"{path}: images[{row}] (id {image_ids[row]}) has {name} {sides[row]}; give its pixels"
            )
    category_ids, names = _categories(categories, path)
    notes: Counter[str] = Counter()

    ids = _integers(annotations, "id", "annotations", path)
    _refuse_duplicates(ids, "annotations", path)
    image_index = _look_up(annotations, "image_id", image_ids, "images", ids, path)
    category_index = _look_up(
        annotations, "category_id", np.array(category_ids, np.int64), "categories", ids, path
    )
    xywh = _boxes(annotations, ids, path)
    area = _areas(annotations, xywh, ids, path)
    crowd = np.array([_is_crowd(row) for row in annotations], dtype=bool)
    # After the areas, because the area of a rotated object is that of its own box, not of the one around it.
    _enclose_rotated(annotations, xywh, notes)
    _heed_flags(annotations, crowd, notes)
    # Last, because which of two categories of one name is kept depends on how many annotations use each.
    category_ids, names, category_index = _merge_names(category_ids, names, category_index, notes)
    return CocoFile(
        path=path,
        image_ids=image_ids,
        file_names=_strings(images, "file_name", "images", path),
        widths=widths,
        heights=heights,
        category_ids=category_ids,
        names=names,
        ids=ids,
        image_index=image_index,
        category_index=category_index,
        xywh=xywh,
        area=area,
        crowd=crowd,
        orientations={
            index: row["orientation"]
            for index, row in enumerate(images)
            if row.get("orientation") in ORIENTATIONS[1:]
        },
        notes=+notes,
        supercategories=frozenset(
            str(row["supercategory"])
            for row in categories
            if row.get("supercategory") not in (None, row["name"])
        ),
    )


def _sides(images: list[Any], key: str, path: Path) -> np.ndarray:
    """Widths or heights, with 0 where the file does not give them."""
    return _integers(
        [{**row, key: 0} if row.get(key) is None else row for row in images], key, "images", path
    )


def _enclose_rotated(rows: list[Any], xywh: np.ndarray, notes: Counter[str]) -> None:
    """Replaces boxes that are turned about their centre by the upright boxes around them."""
    for number, row in enumerate(rows):
        angle = rotation_of(_attribute(row, "rotation"))
        if angle:
            x, y, width, height = xywh[number]
            wide, high = enclosing(width, height, math.radians(angle))
            xywh[number] = x + (width - wide) / 2, y + (height - high) / 2, wide, high
            notes[ROTATED] += 1


def _attribute(row: Row, name: str) -> Any:
    """A value of an annotation, or of its "attributes", where CVAT puts what COCO has no key for."""
    inner = row.get("attributes")
    return row.get(name, inner.get(name) if type(inner) is dict else None)


def _is_crowd(row: Row) -> bool:
    """Whether an annotation is of many things. OpenImages' flag counts where COCO's is missing."""
    flag = row.get("iscrowd", row.get("IsGroupOf"))
    return is_set(flag) if isinstance(flag, str) or "iscrowd" not in row else bool(flag)


def _heed_flags(rows: list[Any], crowd: np.ndarray, notes: Counter[str]) -> None:
    """Makes crowd regions of objects marked "ignore", and counts the other flags that warn of an object."""
    notes[CROWD] += int(crowd.sum())
    for number, row in enumerate(rows):
        if not crowd[number] and is_set(_attribute(row, "ignore")):
            crowd[number] = True
            notes[IGNORED] += 1
        notes[OCCLUDED] += is_set(_attribute(row, "occluded"))
        notes[DIFFICULT_KEPT] += is_set(_attribute(row, "difficult"))


def _merge_names(
    ids: tuple[int, ...], names: tuple[str, ...], index: np.ndarray, notes: Counter[str]
) -> tuple[tuple[int, ...], tuple[str, ...], np.ndarray]:
    """Merges categories of one name; exporters write a class again as its own supercategory."""
    if len(set(names)) == len(names):
        return ids, names, index
    used = np.bincount(index, minlength=len(names)).tolist()
    best: dict[str, int] = {}
    for number, name in enumerate(names):
        # Of equally used ones the first stays.
        if name not in best or used[number] > used[best[name]]:
            best[name] = number
    kept = sorted(best.values())
    merged = {number: place for place, number in enumerate(kept)}
    place = np.array([merged[best[name]] for name in names])
    notes[SAME_NAME] += len(names) - len(kept)
    return tuple(ids[k] for k in kept), tuple(names[k] for k in kept), place[index]


def load_json(path: Path, row: Callable[[Row], Any] | None = None) -> Any:
    """Returns the content of a COCO file. Raises UserError when it cannot be read or is not JSON.

    ``row`` is called with each JSON object and returns what is kept of it; without it everything but
    segmentations is kept.
    """
    try:
        return parse_json(path.read_bytes(), path, row)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None


def parse_json(data: bytes, path: Path, row: Callable[[Row], Any] | None = None) -> Any:
    """Parses the bytes of a COCO file like `load_json`; ``path`` is the file named in errors."""
    # Millions of small objects are made and none becomes garbage, but the collector would walk them again and
    # again.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return json.loads(data, object_hook=row or _without_outline)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}: not JSON (line {error.lineno}, column {error.colno}: {error.msg}); is it complete?"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not JSON (not text); is it a COCO annotation file?") from None
    except (ValueError, RecursionError):
        # Python converts no number of more than 4300 digits and follows brackets only to a limited depth.
        what = "a number of thousands of digits, or brackets too deep"
        raise UserError(f"{path}: cannot be parsed ({what}); is it a COCO annotation file?") from None
    finally:
        if collecting:
            gc.enable()


def _without_outline(row: Row) -> Row:
    """Drops the segmentations while parsing: they are nine tenths of the numbers in COCO's files."""
    row.pop("segmentation", None)
    return row


def section(content: Any, key: str, path: Path) -> list[Any]:
    """Returns the rows under ``key``. Raises UserError when they are not a list of objects."""
    if not isinstance(content, dict) or key not in content:
        raise UserError(
            f"{path}: lacks the key '{key}'; a COCO file has 'images', 'annotations' and 'categories'"
        )
    rows = content[key]
    if not isinstance(rows, list):
        raise UserError(f"{path}: '{key}' must be a list, not {type(rows).__name__}")
    for index, row in enumerate(rows):
        if type(row) is not dict:
            raise UserError(f"{path}: {key}[{index}] must be an object with keys, not {type(row).__name__}")
    return rows


def _column(rows: list[Any], key: str, section: str, path: Path) -> list[Any]:
    try:
        return [row[key] for row in rows]
    except KeyError:
        # The row is looked for only after the quick way has failed: files have a million rows.
        index = next(number for number, row in enumerate(rows) if key not in row)
        known = f" (id {rows[index]['id']})" if "id" in rows[index] else ""
        raise UserError(f"{path}: {section}[{index}]{known} lacks the key '{key}'; add it") from None


def _integers(rows: list[Any], key: str, section: str, path: Path) -> np.ndarray:
    values = _column(rows, key, section, path)
    for index, value in enumerate(values):
        # A comparison of types, because True and False would pass as integers.
        if type(value) is not int and not (type(value) is float and value.is_integer()):
            raise UserError(f"{path}: {section}[{index}] has {key} {value!r}; it must be an integer")
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        raise UserError(f"{path}: a value of '{key}' in '{section}' does not fit 64 bits; renumber") from None


def _strings(rows: list[Any], key: str, section: str, path: Path) -> list[str]:
    values = _column(rows, key, section, path)
    for index, value in enumerate(values):
        if type(value) is not str or not value:
            raise UserError(f"{path}: {section}[{index}] has {key} {value!r}; it must be a name")
    return values


def _refuse_duplicates(ids: np.ndarray, section: str, path: Path) -> None:
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        first, repeated = int(unique[np.argmax(counts > 1)]), int((counts > 1).sum())
        raise UserError(
            f"{path}: {repeated} id(s) occur more than once in '{section}', first {first}; make ids unique"
        )


def _categories(rows: list[Any], path: Path) -> tuple[tuple[int, ...], tuple[str, ...]]:
    ids = _integers(rows, "id", "categories", path)
    _refuse_duplicates(ids, "categories", path)
    names = _strings(rows, "name", "categories", path)
    for index, name in enumerate(names):
        if not is_text(name):
            raise UserError(f"{path}: categories[{index}] has name {name!r}, which is no text; rename it")
    order = np.argsort(ids)
    return tuple(int(ids[k]) for k in order), tuple(names[k] for k in order)


def _look_up(
    rows: list[Any], key: str, known: np.ndarray, section: str, ids: np.ndarray, path: Path
) -> np.ndarray:
    """The index of each annotation's ``key`` among the ``known`` ids."""
    values = _integers(rows, key, "annotations", path)
    order = np.argsort(known)
    # An unknown id finds the place where it would be inserted, and the comparison below shows that it is
    # another.
    place = np.minimum(np.searchsorted(known[order], values), len(known) - 1)
    index: np.ndarray = order[place]
    wrong = known[index] != values
    if wrong.any():
        first = int(np.argmax(wrong))
        raise UserError(
            f"{path}: annotation {ids[first]} has {key} {values[first]}, which is not in '{section}' "
            f"({int(wrong.sum())} such annotation(s)); add it there or remove them"
        )
    return index


def _boxes(rows: list[Any], ids: np.ndarray, path: Path) -> np.ndarray:
    values = _column(rows, "bbox", "annotations", path)
    if not values:
        return np.zeros((0, 4))
    for number, value in enumerate(values):
        if type(value) is not list or len(value) != 4:
            raise UserError(
                f"{path}: annotation {ids[number]} has bbox {value!r}; it must be [x, y, width, height]"
            )
    # NumPy checks a million boxes at once; only when it refuses are they searched for the one to blame.
    boxes = _numbers(values)
    if boxes is None:
        # Integers too large for NumPy, strings and lists inside a box come here.
        plain = [
            all(type(side) in (int, float) and not abs(side) >= _LIMIT for side in box) for box in values
        ]
        number = plain.index(False)
        raise UserError(
            f"{path}: annotation {ids[number]} has bbox {values[number]!r}; it must be four numbers"
        )
    # False for NaN too.
    sound = (np.abs(boxes) < _LIMIT).all(axis=1)
    if not sound.all():
        number = int(np.argmin(sound))
        raise UserError(
            f"{path}: annotation {ids[number]} has bbox {values[number]} with NaN, infinity or more "
            f"than 2^63 ({int((~sound).sum())} such annotation(s)); correct or remove it"
        )
    return boxes


def _numbers(values: list[Any]) -> np.ndarray | None:
    """The lists of four as float64 (n, 4); None where NumPy does not take one of them for numbers."""
    try:
        with warnings.catch_warnings():
            # NumPy before 1.24 only warns when a list stands among the numbers.
            warnings.simplefilter("error")
            boxes = np.array(values)
    except (ValueError, Warning):
        return None
    return boxes.astype(np.float64) if boxes.ndim == 2 and boxes.dtype.kind in "iuf" else None


def _areas(rows: list[Any], xywh: np.ndarray, ids: np.ndarray, path: Path) -> np.ndarray:
    filled = xywh[:, 2] * xywh[:, 3]
    for number, row in enumerate(rows):
        area = row.get("area")
        if area is None:
            continue
        if type(area) not in (int, float) or not -_LIMIT < area < _LIMIT:
            raise UserError(
                f"{path}: annotation {ids[number]} has area {area!r}; it must be a number (or left out)"
            )
        filled[number] = area
    return filled
