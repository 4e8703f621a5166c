"""Detections as COCO JSON, with the ids of an annotation file or with ids of their own."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..errors import UserError
from ..files import as_path, new_text_file
from .shown import Shown

if TYPE_CHECKING:
    from ..detections import Detections

_OWN_IDS = (
    "image ids are of this file alone: 'images' says which is which; for those of an annotation file, "
    "and results that pycocotools takes, predict with --annotation FILE"
)


class Numbering:
    """The ids of images and categories in the results.

    ``images`` has one id per path, None for an image that the annotation file does not name.
    """

    def __init__(self, paths: Sequence[Path], detector: Any, annotation: str | None) -> None:
        self.own = annotation is None
        self.classes = detector.classes
        self.images: Sequence[int | None] = image_ids(paths)
        self.categories = list(detector.category_ids or category_ids(detector.classes))
        if annotation is not None:
            self._take_from(as_path(annotation), paths)

    def _take_from(self, annotation: Path, paths: Sequence[Path]) -> None:
        from ..data.coco_json import read_coco
        from ..data.image_ids import match_images

        file = read_coco(annotation)
        self.images = [None if k is None else int(file.image_ids[k]) for k in match_images(paths, file)]
        if all(number is None for number in self.images):
            raise UserError(
                f"{annotation}: names none of the images; give the annotation file that belongs to them"
            )
        known = dict(zip(file.names, file.category_ids))
        for index, name in enumerate(self.classes):
            if name not in known:
                # Detections of such a class can be matched with nothing, and an id that the file uses would
                # be wrong.
                known[name] = max(known.values()) + 1
            self.categories[index] = known[name]


class CocoRows:
    """The detections of any number of pictures, written as COCO's JSON when it is closed.

    These are COCO results, or a whole COCO file where the ids of ``numbering`` are its own. The rows wait in
    temporary files, so that hours of a video take no memory, beside the file, since the system's own folder
    for such files may be small.
    """

    def __init__(self, path: Path, numbering: Numbering) -> None:
        self._path, self._numbering = path, numbering
        self._images, self._rows = _Rows(path.parent), _Rows(path.parent)

    def add(self, shown: Shown, image_id: int | None) -> None:
        """Adds what was found on a picture; one without an id is left out."""
        if image_id is None:
            return
        place = {} if shown.frame is None else {"frame": shown.frame, "seconds": round(shown.seconds or 0, 3)}
        self._images.add({**coco_image(shown.size, shown.path, image_id), **place})
        rows = coco_results(shown.found, shown.path, image_id, self._numbering.categories)
        for row, track in zip(rows, shown.tracks or (0,) * len(rows)):
            number = {"id": self._rows.count + 1} if self._numbering.own else {}
            self._rows.add({**number, **row, **({"track_id": track} if track else {})})

    @property
    def count(self) -> int:
        """Returns how many detections were added."""
        return self._rows.count

    def close(self) -> None:
        """Writes the file. Raises UserError when it cannot be written."""
        with new_text_file(self._path) as file:
            if not self._numbering.own:
                self._rows.copy_into(file)
                return
            numbering = self._numbering
            categories = [{"id": k, "name": name} for k, name in zip(numbering.categories, numbering.classes)]
            info = {"description": f"detections of gluon-ssd predict; {_OWN_IDS}"}
            file.write(f'{{"info": {json.dumps(info)},\n"categories": {json.dumps(categories)},\n"images": ')
            self._images.copy_into(file)
            file.write(',\n"annotations": ')
            self._rows.copy_into(file)
            file.write("}\n")


class _Rows:
    """A list of JSON objects in a temporary file, which has no name, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder)  # noqa: SIM115 - see `copy_into`
        self.count = 0

    def add(self, row: dict[str, Any]) -> None:
        self._file.write((",\n" if self.count else "") + json.dumps(row))
        self.count += 1

    def copy_into(self, file: IO[str]) -> None:
        file.write("[")
        self._file.seek(0)
        shutil.copyfileobj(self._file, file)
        self._file.close()
        file.write("]")


def category_ids(classes: Sequence[str]) -> list[int]:
    """Returns the COCO category id of each class: COCO's own for its 80 classes, else 1, 2, 3, ..."""
    from ..data.coco_names import COCO_IDS

    if list(classes) == list(COCO_IDS):
        return list(COCO_IDS.values())
    return list(range(1, len(classes) + 1))


def image_ids(paths: Sequence[Path]) -> list[int]:
    """Returns an id for each image: the number in its name, as COCO's images have, else its place from 1.

    Either all are named by different numbers, or all go by their place, so that no two share an id.
    """
    numbers = [int(path.stem) if path.stem.isdecimal() else None for path in paths]
    named = [number for number in numbers if number is not None]
    if len(set(named)) == len(paths):
        return named
    return list(range(1, len(paths) + 1))


def coco_results(
    found: Detections, path: Path, image_id: int, categories: Sequence[int]
) -> list[dict[str, Any]]:
    """Returns detections in COCO's results format: ``bbox`` is x, y, width, height in pixels of the image.

    ``categories`` holds the category id of each class. Numbers are as exact as the network's, so that the
    file scores what ``val`` prints.
    """
    from ..boxes import ltrb_to_coco

    # In double precision, so that rounding is the only loss.
    boxes = ltrb_to_coco(found.xyxy.astype(float))
    rows = zip(boxes.tolist(), found.scores.tolist(), found.class_ids, found.names)
    return [
        {
            "image_id": image_id,
            "file_name": path.name,
            "category_id": categories[int(class_id)],
            "category_name": name,
            "bbox": [round(side, 4) for side in (left, top, width, height)],
            "area": round(width * height, 4),
            "score": round(score, 8),
        }
        for (left, top, width, height), score, class_id, name in rows
    ]


def coco_image(size: tuple[int, int], path: Path, image_id: int) -> dict[str, Any]:
    """Returns the entry of an image: id, path, and ``size``, the height and width of the upright picture."""
    return {"id": image_id, "file_name": path.as_posix(), "width": size[1], "height": size[0]}
