"""Names of images that lead out of their folder, and names of classes that are more than text."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import traps
from traps import NAMES, OUTSIDE, SETS, convert

from gluon_ssd.data.formats.conversion import read_dataset
from gluon_ssd.detections import Detections
from gluon_ssd.errors import UserError
from gluon_ssd.outputs.files import finish_yolo, write_crops, write_labelme, write_yolo
from gluon_ssd.outputs.shown import Shown


def _outside(kind: str) -> Callable[[Path], Any]:
    """A data set whose image is named by one way after another, converted to each format."""

    def case(folder: Path) -> Any:
        told = []
        for number, (way, target) in enumerate(itertools.product(OUTSIDE, ("coco", "voc", "yolo"))):
            place = folder / str(number)
            source = SETS[kind](place, way.replace("{folder}", str(folder)))
            try:
                told.append(convert(place, source, target, kind))
            except UserError as error:
                told.append(error)
        return told

    return case


def _classes(target: str) -> Callable[[Path], Any]:
    """A class of one name after another: in the new format it is the same, or the name is refused."""

    def case(folder: Path) -> Any:
        for number, name in enumerate(NAMES):
            place = folder / str(number)
            try:
                new = convert(place, traps.coco(place, kind=name), target, "coco")
            except UserError:
                continue
            back = _read_back(new, target)
            assert back in ([name], [name.strip()]), f"{name!r} came back as {back}"

    return case


def _read_back(folder: Path, kind: str) -> list[str]:
    """The classes of what was just written; that it cannot be read is a fault."""
    try:
        return read_dataset(folder, kind).classes
    except UserError as error:
        return [f"error: {error}"]


def _shown(name: str) -> Shown:
    one = np.zeros(1)
    boxes, pixels = np.array([[1, 2, 30, 30]], np.float32), np.zeros((48, 64, 3), np.uint8)
    found = Detections(boxes, one + 0.5, one.astype(int), (name,), source=pixels)
    return Shown(found, pixels, Path("a.png"), "a", "a.png", 0, 0.0)


def _written(folder: Path) -> None:
    """What `predict` writes by the names of classes."""
    for number, name in enumerate(NAMES):
        place = folder / str(number)
        for write in (write_crops, write_yolo, write_labelme):
            write(_shown(name), place)
        finish_yolo(place, [name])
        inside = {path.name for path in place.iterdir()}
        assert inside == {"crops", "yolo", "labelme"}, f"{name!r} led to {inside}"
        assert len([path for path in (place / "crops").rglob("*") if path.is_file()]) == 1, f"{name!r}"
        back = _read_back(place / "yolo", "yolo")
        assert back == [name], f"{name!r} came back as {back}"


def _checked(folder: Path) -> None:
    """The page of `check` and what it prints, with names of classes and of images."""
    for number, name in enumerate(NAMES):
        place = folder / str(number)
        source = traps.coco(place, name, name)
        printed = traps.command("check", source, "--output", place / "page")
        assert not set(printed) & set("\x1b\x07\x00\u202e"), f"{name!r} reaches the terminal"
        for page in (place / "page").glob("*.html"):
            content = page.read_text()
            assert name not in content or "<" not in name, f"{name!r} is markup of the page"
            assert "49" not in content or "{{" not in name, f"{name!r} was run"


def _converted(folder: Path) -> None:
    """What `convert-data` prints."""
    for number, name in enumerate(NAMES):
        place = folder / str(number)
        printed = traps.command("convert-data", traps.coco(place, name, name), place / "new", "--to", "yolo")
        assert not set(printed) & set("\x1b\x07\x00\u202e"), f"{name!r} reaches the terminal"


CASES: Mapping[str, Callable[[Path], Any]] = {
    **{f"{kind}: images outside of the set, converted": _outside(kind) for kind in SETS},
    **{
        f"{kind}: classes of any name, converted": _classes(kind)
        for kind in ("coco", "voc", "yolo", "openimages")
    },
    "YOLO: folders named by ..": lambda f: convert(
        f, traps.yolo(f, "names: [cat]\ntrain: ../../../..\n"), "coco"
    ),
    "predict: classes of any name": _written,
    "check: classes and images of any name": _checked,
    "convert-data: classes and images of any name": _converted,
}
