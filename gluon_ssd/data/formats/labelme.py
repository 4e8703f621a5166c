"""LabelMe's JSON files, one for each image, also as X-AnyLabeling writes them."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..attributes import flags_of
from ..coco_json import load_json
from ..finder import Finder
from ..progress import counted
from ..splits import split_by_folder
from .model import MASKS, NO_BOX, RESPELLED, ROTATED, DataSet, Options, Picture
from .reading import (
    choose_classes,
    class_file,
    inner_name,
    missing,
    peek,
    read_classes,
    read_file,
    unneeded,
    visible,
)
from .registry import LIKELY, NO, Format, register_format
from .sheet import Sheet


@register_format
class LabelMe(Format):
    """A folder of JSON files beside their images, or in a folder of their own; train/ and val/ are splits."""

    name = "labelme"
    labels = (".json",)
    layout = "a JSON file with 'shapes' and 'imagePath' for each image"
    reading = "xyxy"

    def detect(self, root: Path) -> int:
        files = _json_files(root)[:20] if root.is_dir() else []
        return LIKELY if any(_has_shapes(peek(path)) for path in files) else NO

    def read(self, root: Path, options: Options) -> DataSet:
        lines: list[str] = []
        files = [path for path in _json_files(root) if _has_shapes(read_file(path))]
        if not files:
            raise UserError(f"{root}: no JSON file has 'shapes' and 'imagePath'")
        notes: Counter[str] = Counter()
        names: dict[str, int] = {}
        splits = {}
        for split, own in split_by_folder(files, root, lines).items():
            with unneeded(split, lines):
                splits[split] = _read(split, own, root, names, options, notes)
        # A class list is no part of LabelMe; where there is one, it only gives the order.
        listed = class_file(root)
        known = read_classes(listed) if listed else None
        return choose_classes(DataSet(list(names), splits, notes, lines), _order(names, known))


def _order(names: dict[str, int], known: list[str] | None) -> list[str]:
    """The names that classes.txt lists, in its order, then the others in alphabetical order."""
    listed = [name for name in known or [] if name in names]
    return [*listed, *sorted(name for name in names if name not in listed)]


def _json_files(root: Path) -> list[Path]:
    return visible(root.rglob("*.json"))


def _has_shapes(data: bytes) -> bool:
    """Whether a file has LabelMe's keys. It is not parsed, since it may hold the whole image in base64."""
    return b'"shapes"' in data and b'"imagePath"' in data


def _read(
    split: str, files: list[Path], root: Path, names: dict[str, int], options: Options, notes: Counter[str]
) -> list[Picture]:
    pictures = []
    # A finder lists its folder once; one for each file would list a folder as often as it has files.
    finders: dict[Path, Finder] = {}
    for path in counted(files, f"reading {split}", options.progress):
        loaded = load_json(path)
        content: Any = loaded if isinstance(loaded, dict) else {}
        shapes, named = content.get("shapes"), content.get("imagePath")
        if not isinstance(shapes, list) or not isinstance(named, str):
            raise UserError(f"{path}: 'shapes' must be a list and 'imagePath' a name; is it LabelMe's?")
        # "imagePath" is relative to the JSON file, or an absolute path of the machine on which it was drawn.
        found = finders.setdefault(path.parent, Finder([path.parent], root)).find(named)
        if found is None:
            missing(f"{path}: its image {named} is not there", options.skip_missing, notes)
            continue
        sides = content.get("imageWidth"), content.get("imageHeight")
        known = all(type(side) is int and side > 0 for side in sides)
        name = inner_name(found[0], *(root / n for n in ("images", split)), root)
        sheet = Sheet(found[0], name, options, sides if known else (0, 0))
        sheet.note(*[RESPELLED] * found[1])
        for index, shape in enumerate(shapes):
            _add(sheet, shape, f"{path}: shapes[{index}]", names)
        pictures.append(sheet.picture())
    return pictures


def _add(sheet: Sheet, shape: Any, where: str, names: dict[str, int]) -> None:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"].strip():
        raise UserError(f"{where} lacks a label; give its class")
    label = names.setdefault(shape["label"].strip(), len(names))
    kind, points = shape.get("shape_type") or "polygon", _points(shape.get("points"), where)
    inner = [about for about in (shape.get("flags"), shape.get("attributes")) if isinstance(about, dict)]
    flags = {key: value for about in (*inner, shape) for key, value in about.items()}
    marks = flags_of(flags)
    if kind in ("point", "line", "linestrip", "points") or len(points) < 2:
        sheet.lose(label, NO_BOX)
        return
    xs, ys = zip(*points)
    around = min(xs), min(ys), max(xs), max(ys)
    if kind == "rectangle":
        sheet.add_values(label, around, "xyxy", flags=marks)
    elif kind == "circle" and len(points) == 2:
        # The two points are the centre and one on the circle.
        wide = 2 * math.dist(*points)
        sheet.add_outline(label, (*points[0], wide, wide), "cxcywh", flags=marks, notes=[MASKS])
    else:
        # A rotated box has its four corners as points, so the box around them serves it too.
        notes = [ROTATED] if kind == "rotation" else [MASKS]
        sheet.add_outline(label, around, flags=marks, notes=notes)


def _points(points: Any, where: str) -> list[tuple[float, float]]:
    try:
        pairs = [(float(x), float(y)) for x, y in points]
    except (TypeError, ValueError, OverflowError):
        pairs = [(math.nan, 0)]
    if not all(math.isfinite(side) for pair in pairs for side in pair):
        raise UserError(f"{where}: 'points' must be a list of [x, y] in pixels")
    return pairs
