"""The results that are files of their own for each picture: annotated pictures, labels, crops."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import yaml

from ..boxes import ltrb_to_xywh
from ..data.images import image_suffixes
from ..files import atomic_write, new_text_file
from ..report.picture_file import write_picture
from .shown import Shown


def write_annotated(shown: Shown, folder: Path) -> None:
    """Writes the picture with its boxes into ``images/``."""
    write_picture(shown.drawn(), _made(folder / "images") / shown.picture)


def write_crops(shown: Shown, folder: Path) -> None:
    """Writes what each box holds into ``crops/CLASS/``; boxes of less than a pixel are left out."""
    for number, found in enumerate(shown.found, 1):
        left, top, right, bottom = (round(side) for side in found.xyxy)
        if right > left and bottom > top:
            place = _made(folder / "crops" / _file_name(found.name))
            write_picture(shown.pixels[top:bottom, left:right], place / f"{shown.name}_{number}.jpg")


def write_yolo(shown: Shown, folder: Path) -> None:
    """Writes a data set in YOLO's layout into ``yolo/``: the picture as it is, and its labels.

    A label is class, centre and size as fractions of the picture.
    """
    root = folder / "yolo"
    _copy(shown, _made(root / "images"))
    height, width = shown.size
    boxes = ltrb_to_xywh(shown.found.xyxy.astype(float)) / (width, height, width, height)
    rows = zip(shown.found.class_ids.tolist(), boxes.tolist())
    lines = [f"{label} " + " ".join(f"{value:.6f}" for value in box) + "\n" for label, box in rows]
    _write(root / "labels" / f"{shown.name}.txt", "".join(lines))


def write_labelme(shown: Shown, folder: Path) -> None:
    """Writes the picture as it is and a JSON file that LabelMe opens beside it into ``labelme/``."""
    root = _made(folder / "labelme")
    shapes: list[dict[str, Any]] = [
        {
            "label": found.name,
            "points": [[round(side, 2) for side in pair] for pair in (found.xyxy[:2], found.xyxy[2:])],
            "group_id": None,
            "description": f"score {found.score:.3f}",
            "shape_type": "rectangle",
            "flags": {},
        }
        for found in shown.found
    ]
    content: dict[str, Any] = {"version": "5.5.0", "flags": {}, "shapes": shapes}
    content.update(imagePath=_copy(shown, root), imageData=None)
    content.update(imageHeight=shown.size[0], imageWidth=shown.size[1])
    _write(root / f"{shown.name}.json", json.dumps(content, indent=1, ensure_ascii=False))


def finish_yolo(folder: Path, classes: Sequence[str]) -> None:
    """Writes data.yaml, which makes a data set of what `write_yolo` has written."""
    content = {"train": "images", "names": dict(enumerate(classes))}
    _write(folder / "yolo/data.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


# By the word of the command line. Any thread may call them.
WRITERS: dict[str, Callable[[Shown, Path], None]] = {
    "images": write_annotated,
    "crops": write_crops,
    "yolo": write_yolo,
    "labelme": write_labelme,
}


def _copy(shown: Shown, folder: Path) -> str:
    """Puts the picture as it is into a folder; returns its name there.

    A frame of a video becomes a JPEG, and a file whose suffix is none of an image, which a data set would not
    find, a PNG.
    """
    suffix = shown.path.suffix
    if shown.frame is None and suffix.lower() in image_suffixes():
        with atomic_write(folder / (shown.name + suffix), durable=False) as temporary:
            shutil.copyfile(shown.path, temporary)
        return shown.name + suffix
    name = shown.name + (".png" if shown.frame is None else ".jpg")
    write_picture(shown.pixels, folder / name)
    return name


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _file_name(text: str) -> str:
    """Returns the name of a class as the name of a folder on every system."""
    plain = re.sub(r'[<>:"/\\|?*\x00-\x1f]|^\.+|[. ]+$', "_", text) or "_"
    # No system takes more than 255 bytes.
    return plain.encode("utf-8", "replace")[:200].decode("utf-8", "ignore")


def _write(path: Path, text: str) -> None:
    with new_text_file(path) as file:
        file.write(text)
