"""MLPerf's subset of OpenImages v6: its images, and its openimages-mlperf.json made from the official CSVs.

The published file comes from fiftyone 0.15 (MLPerf training, single_stage_detector/scripts), and this module
does as that does. The images are those with a box of any of the 264 classes, by ascending name, numbered from
1. Categories are numbered from 0 in the order of the list. Boxes keep the CSV's order and are fractions times
the size of the file. A flag is true when it is not 0, so that an unknown one (-1) counts as true, and
``iscrowd`` is IsGroupOf.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...files import new_text_file
from ..images import file_header
from ..openimages_names import OPENIMAGES_MLPERF_CLASSES
from .openimages import COLUMNS, read_boxes, read_descriptions

_FLAGS = tuple(COLUMNS)


def wanted_labels(descriptions: Path, classes: Sequence[str] = OPENIMAGES_MLPERF_CLASSES) -> dict[str, int]:
    """Returns each class's machine name and category id. Raises UserError where a class is not described."""
    by_name = {name: label for label, name in read_descriptions(descriptions).items()}
    lacking = [name for name in classes if name not in by_name]
    if lacking:
        raise UserError(
            f"{descriptions}: lacks {len(lacking)} classes, first {lacking[0]!r}; is it complete?"
        )
    return {by_name[name]: index for index, name in enumerate(classes)}


def image_ids(boxes: Path, descriptions: Path) -> list[str]:
    """Returns the ids of the images of the subset, sorted. Raises UserError for unsound files."""
    return sorted({row.image for row in read_boxes(boxes, wanted_labels(descriptions))})


def write_mlperf_json(
    boxes: Path,
    descriptions: Path,
    images: Path,
    target: Path,
    threads: int = 16,
    classes: Sequence[str] = OPENIMAGES_MLPERF_CLASSES,
) -> tuple[int, int]:
    """Writes ``target`` for the images ``{id}.jpg`` in ``images``.

    Returns the numbers of images and boxes. Raises UserError for unsound files and where an image is missing;
    nothing is written then.
    """
    table = _Table(boxes, wanted_labels(descriptions, classes))
    files = [images / f"{name}.jpg" for name in table.names]
    absent = [file for file in files if not file.is_file()]
    if absent:
        many = f"{len(absent)} of {len(files)} images are missing"
        raise UserError(f"{boxes}: {many}, first {absent[0]}; complete the download")
    with ThreadPoolExecutor(threads) as pool:
        sizes = [header.size for header in pool.map(file_header, files, chunksize=256)]
    with new_text_file(target) as stream:
        info = {"description": "MLPerf's 264 classes of OpenImages v6", "version": "v6"}
        categories = [{"id": k, "name": name, "supercategory": None} for k, name in enumerate(classes)]
        stream.write(
            f'{{"info": {json.dumps(info)}, "licenses": [], "categories": {json.dumps(categories)}, '
        )
        # Written row by row: as one object in memory the file of the training set would take gigabytes.
        stream.write('"images": [')
        for number, (file, size) in enumerate(zip(files, sizes), start=1):
            stream.write((", " if number > 1 else "") + json.dumps(_image(number, file.name, size)))
        stream.write('], "annotations": [')
        for number, row in enumerate(table.rows(sizes), start=1):
            stream.write((", " if number > 1 else "") + json.dumps({"id": number, **row}))
        stream.write("]}")
    return len(files), len(table)


def _image(number: int, name: str, size: tuple[int, int]) -> dict[str, object]:
    width, height = size
    return {
        "id": number,
        "file_name": name,
        "height": height,
        "width": width,
        "license": None,
        "coco_url": None,
    }


class _Table:
    """The rows of one CSV that have a wanted class.

    They are kept as arrays, because millions of objects would fill the memory.
    """

    def __init__(self, boxes: Path, labels: dict[str, int]) -> None:
        place: dict[str, int] = {}
        image, category, sides, flags = array("l"), array("h"), array("d"), array("b")
        for row in read_boxes(boxes, labels):
            if not image and len(row.flags) < len(_FLAGS):
                lacking = next(name for name in _FLAGS if name not in row.flags)
                raise UserError(f"{boxes}: line 1 lacks the column {lacking!r}; is it annotations-bbox.csv?")
            image.append(place.setdefault(row.image, len(place)))
            category.append(labels[row.label])
            sides.extend(row.ltrb)
            flags.extend(int(row.flags[name] != 0) for name in _FLAGS)
        self.names = sorted(place)
        # From the order in which images first appear to the order of their names.
        rank = np.empty(len(place), np.int64)
        rank[[place[name] for name in self.names]] = np.arange(len(place))
        index = rank[np.array(image, np.int64)] if image else np.zeros(0, np.int64)
        # A stable sort, so that the boxes of an image keep their order.
        order = np.argsort(index, kind="stable")
        self._image, self._category = index[order], np.array(category)[order]
        self._sides = np.array(sides).reshape(-1, 4)[order]
        self._flags = np.array(flags).reshape(-1, len(_FLAGS))[order]

    def __len__(self) -> int:
        return len(self._image)

    def rows(self, sizes: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
        """Yields every annotation without its id, to the last digit as fiftyone computes it."""
        columns = zip(self._image.tolist(), self._category.tolist(), self._sides, self._flags)
        for image, category, sides, flags in columns:
            width, height = sizes[image]
            left, top, right, bottom = sides.tolist()
            bbox = [left * width, top * height, (right - left) * width, (bottom - top) * height]
            marks = dict(zip(_FLAGS, map(bool, flags.tolist())))
            yield {
                "image_id": image + 1,
                "category_id": category,
                "bbox": bbox,
                "area": bbox[2] * bbox[3],
                **marks,
                "iscrowd": int(marks["IsGroupOf"]),
            }
