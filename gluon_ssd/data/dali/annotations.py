"""Writes records as the annotation file that DALI's COCO reader wants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ...files import is_text, refuse_device
from ..images import is_for_all
from ..records import Record


def fits_reader(records: Sequence[Record]) -> bool:
    """Returns whether DALI's COCO reader can read these records.

    They must be files, each listed once, with names in UTF-8 and of sizes that fit its int32.
    """
    files = {row.path for row in records if row.packed is None and is_text(str(row.path.absolute()))}
    limit = np.iinfo(np.int32).max
    return len(files) == len(records) and all(max(row.width, row.height) <= limit for row in records)


def fits_decoders(records: Sequence[Record], workers: int) -> bool:
    """Returns whether DALI's decoders can have the files as they are, see `is_for_all`.

    The header of every file is read. A file that cannot be read is left to the pipeline to report.
    """

    def fits(record: Record) -> bool:
        try:
            refuse_device(record.path)
            with open(record.path, "rb") as stream:
                return is_for_all(stream)
        except OSError:
            return True

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        return all(pool.map(fits, records, chunksize=64))


def write_annotations(path: Path, records: Sequence[Record], indices: np.ndarray) -> None:
    """Writes the records ``indices`` as COCO JSON for DALI.

    The file holds the data set as it was settled: an image's id is its index in ``records``, its name an
    absolute path, and a category's id the class index; crowd regions and dropped boxes are not in it. So the
    reader serves every source of records, and ids that exceed its int32 do no harm.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    classes = 0
    for index in indices.tolist():
        record = records[index]
        name = str(record.path.absolute())
        images.append({"id": index, "file_name": name, "width": record.width, "height": record.height})
        boxes, labels = record.objects()
        # In float64, where left + (right - left), as DALI computes it, is close enough to the float32 right
        # side.
        wide = boxes.astype(np.float64)
        xywh = np.concatenate([wide[:, :2], wide[:, 2:] - wide[:, :2]], axis=1).tolist()
        for box, label in zip(xywh, labels.tolist()):
            classes = max(classes, label + 1)
            annotations.append(
                {"id": len(annotations) + 1, "image_id": index, "category_id": label, "bbox": box}
            )
    categories = [{"id": label, "name": str(label)} for label in range(max(classes, 1))]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content), encoding="utf-8")
