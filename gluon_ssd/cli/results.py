"""Detections as COCO JSON, with the ids of an annotation file or with ids of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from ..predict import Detections

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
            self._take_from(Path(annotation).expanduser(), paths)

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

    def content(self, rows: list[dict[str, Any]], pictures: list[dict[str, Any]]) -> Any:
        """Returns what is written: COCO results, or a whole COCO file where the ids are its own."""
        if not self.own:
            return rows
        numbered = [{"id": number, **row} for number, row in enumerate(rows, start=1)]
        categories = [{"id": number, "name": name} for number, name in zip(self.categories, self.classes)]
        info = {"description": f"detections of gluon-ssd predict; {_OWN_IDS}"}
        return {"info": info, "images": pictures, "categories": categories, "annotations": numbered}


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
