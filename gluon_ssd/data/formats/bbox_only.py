"""COCO annotation files without what box detection does not read, as prepared for MLPerf's SSD."""

from __future__ import annotations

import json
from pathlib import Path

from ...files import new_text_file
from ..coco_json import SECTIONS, Row, load_json, section

_IMAGE_KEYS = ("id", "file_name", "height", "width")
_BOX_KEYS = ("image_id", "bbox", "category_id", "id")


def prepare_json(
    source: Path, target: Path, keep_keys: bool = False, pretty: bool = False
) -> tuple[int, int]:
    """Writes ``source``, a COCO instances file, to ``target`` with its boxes alone.

    Images keep id, file name, height and width; annotations keep id, image, category and box. With
    ``keep_keys`` annotations keep every key, for readers that insist on them, but ``segmentation`` is empty
    and ``area`` is 1.0. ``pretty`` indents by four; otherwise no blank is written at all. The result is byte
    for byte what NVIDIA's prepare-json.py writes.

    Returns the numbers of images and boxes. Raises UserError for a file that is not COCO's, or a target that
    cannot be written.
    """
    content = load_json(source, _empty_outline)
    images, annotations, categories = (section(content, key, source) for key in SECTIONS)
    images = [{key: value for key, value in row.items() if key in _IMAGE_KEYS} for row in images]
    if keep_keys:
        boxes = [{**row, "segmentation": [], "area": 1.0} for row in annotations]
    else:
        boxes = [{key: value for key, value in row.items() if key in _BOX_KEYS} for row in annotations]
    slim = {"images": images, "annotations": boxes, "categories": categories}
    with new_text_file(target) as stream:
        if pretty:
            json.dump(slim, stream, indent=4)
        else:
            json.dump(slim, stream, separators=(",", ":"))
    return len(images), len(boxes)


def _empty_outline(row: Row) -> Row:
    """Empties outlines while parsing, because they are most of the file; the key keeps its place."""
    if "segmentation" in row:
        row["segmentation"] = []
    return row
