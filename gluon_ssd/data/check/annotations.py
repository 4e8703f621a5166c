"""Reads an annotation file that may be unsound: what training would refuse is reported and left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from ...errors import UserError
from ...files import is_text
from ..coco_json import SECTIONS, CocoFile, Row, load_json, parse_coco, section
from .findings import ERROR, Findings

_REFUSED = "training refuses the file; {}"


def read_tolerantly(path: Path, findings: Findings) -> CocoFile:
    """Reads a COCO file. Entries that `read_coco` refuses become findings and are left out.

    Raises UserError where nothing can be left out: for what is not JSON, a section that is missing, or when
    no sound image or category is left.
    """
    content = load_json(path)
    try:
        # A sound file, which is the usual case, is read at once and checked row by row only if that fails.
        return parse_coco(content, path)
    except UserError as error:
        refused = error
        images, annotations, categories = (section(content, key, path) for key in SECTIONS)
    images = _sound_images(images, findings)
    categories = _sound_categories(categories, findings)
    if not images or not categories:
        raise refused
    annotations = _sound_annotations(annotations, images, categories, findings)
    return parse_coco({"images": images, "annotations": annotations, "categories": categories}, path)


def _sound_images(rows: list[Row], findings: Findings) -> list[Row]:
    def sound(row: Row) -> bool:
        # A size that is 0 or missing is no error, because it is read from the image.
        sides = [row[side] for side in ("width", "height") if row.get(side)]
        return _integer(row.get("id")) and _name(row.get("file_name")) and all(map(_positive, sides))

    advice = "give id, file_name, and width and height in pixels, or neither"
    rows = _keep(rows, sound, "images", "image entries incomplete", advice, findings)
    return _unique(rows, "id", "images", "image ids used again", findings)


def _sound_categories(rows: list[Row], findings: Findings) -> list[Row]:
    def sound(row: Row) -> bool:
        return _integer(row.get("id")) and _name(row.get("name")) and is_text(row["name"])

    rows = _keep(rows, sound, "categories", "category entries incomplete", "give id and name", findings)
    return _unique(rows, "id", "categories", "category ids used again", findings)


def _sound_annotations(
    rows: list[Row], images: list[Row], categories: list[Row], findings: Findings
) -> list[Row]:
    """The annotations that training takes; the others become findings."""
    # Only sound rows come so far, so annotations of an image that was left out go with it.
    known_images, known_categories = {row["id"] for row in images}, {row["id"] for row in categories}

    def keep(test: Callable[[Row], bool], what: str, advice: str) -> None:
        nonlocal rows
        rows = _keep(rows, test, "annotations", what, advice, findings)

    keys = ("id", "image_id", "category_id")
    keep(
        lambda row: all(_integer(row.get(key)) for key in keys),
        "annotations without integer ids",
        "give id, image_id and category_id",
    )
    rows = _unique(rows, "id", "annotations", "annotation ids used again", findings)
    keep(
        lambda row: row["image_id"] in known_images,
        "annotations of unknown images",
        "add the images or remove the annotations",
    )
    keep(
        lambda row: row["category_id"] in known_categories,
        "annotations of unknown categories",
        "add the categories or remove the annotations",
    )
    keep(lambda row: _box(row.get("bbox")), "boxes that are not four numbers", "write [x, y, width, height]")
    keep(
        lambda row: row.get("area") is None or _finite(row["area"]),
        "areas that are not numbers",
        "correct 'area' or leave it out",
    )
    return rows


def _keep(
    rows: list[Row],
    sound: Callable[[Row], bool],
    where: str,
    what: str,
    advice: str,
    findings: Findings,
) -> list[Row]:
    """The rows that are ``sound``; the others become one finding."""
    good, bad = [], []
    for number, row in enumerate(rows):
        if sound(row):
            good.append(row)
        else:
            bad.append(f"{where}: {_place(row, number)}")
    findings.add(ERROR, what, bad, _REFUSED.format(advice))
    return good


def _unique(rows: list[Row], key: str, where: str, what: str, findings: Findings) -> list[Row]:
    """The first row of each value of ``key``; later ones become one finding."""
    first: dict[Any, Row] = {}
    again = []
    for row in rows:
        if row[key] in first:
            again.append(f"{where}: {row[key]}")
        else:
            first[row[key]] = row
    findings.add(ERROR, what, again, _REFUSED.format(f"give each its own {key}"))
    return list(first.values())


def _place(row: Row, number: int) -> str:
    """What tells the row from the others, shortened, since broken values may be of any length."""
    parts = [f"{key} {str(row[key])[:60]}" for key in ("id", "image_id", "category_id", "bbox") if key in row]
    return ", ".join(parts) or f"entry {number}"


def _finite(value: Any) -> bool:
    # False for NaN and infinity too.
    return type(value) in (int, float) and abs(value) < 2**63


def _integer(value: Any) -> bool:
    return _finite(value) and (type(value) is int or value.is_integer())


def _positive(value: Any) -> bool:
    return _integer(value) and value > 0


def _name(value: Any) -> bool:
    return type(value) is str and bool(value)


def _box(value: Any) -> bool:
    return type(value) is list and len(value) == 4 and all(map(_finite, value))
