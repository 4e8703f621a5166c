"""Writes Pascal VOC: Annotations/, JPEGImages/, ImageSets/Main/, and classes.txt for the classes' order."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from xml.sax.saxutils import escape

from ...errors import UserError
from .model import FLAGS_LOST, Box, DataSet, Picture
from .placing import RENAMED, Placer, flat_names, new_text, write_lines

# Control characters and halves of characters, which XML does not have in any spelling, and the mark at the
# beginning of a file. Bytes of a file's name that are not UTF-8 come as such halves.
_NOT_XML = re.compile("[\x00-\x1f\ud800-\udfff\ufffe\uffff]|^\ufeff")
ROUNDED = "boxes rounded to whole pixels"
CROWD_AS_DIFFICULT = "crowd regions, marked difficult"


def write_voc(data: DataSet, place: Placer) -> None:
    """Writes a data set, with pixels counted from 1. What is lost goes to its notes."""
    root = place.partial
    for name in data.classes:
        if not _is_line(name):
            raise UserError(f"the class {name!r}: lists and XML of VOC cannot hold such a name; rename it")
    stems = flat_names(data, shared=True)
    for split, pictures in data.splits.items():
        listed = []
        for picture in pictures:
            stem = stems[split, picture.name]
            if not _is_line(stem):
                raise UserError(f"{picture.file}: the lists of VOC cannot hold such a name; rename the image")
            data.notes[RENAMED] += stem != PurePosixPath(picture.name).stem
            file = stem + PurePosixPath(picture.name).suffix
            place.put(picture, f"JPEGImages/{file}")
            with new_text(root / "Annotations" / f"{stem}.xml") as stream:
                stream.write(_voc_xml(picture, file, data))
            listed.append(stem)
        write_lines(root / "ImageSets" / "Main" / f"{split}.txt", listed)
    write_lines(root / "classes.txt", data.classes)


def _is_line(name: str) -> bool:
    """Returns whether a list can hold a name, one on each line and without blanks around it, and XML, too."""
    return name.strip().splitlines() == [name] and not _NOT_XML.search(name)


def _voc_xml(picture: Picture, file: str, data: DataSet) -> str:
    lines = ["<annotation>", "  <folder>JPEGImages</folder>", f"  <filename>{escape(file)}</filename>"]
    size = f"<width>{picture.width}</width><height>{picture.height}</height><depth>3</depth>"
    lines += [f"  <size>{size}</size>", "  <segmented>0</segmented>"]
    for box in picture.boxes:
        data.notes[CROWD_AS_DIFFICULT] += box.crowd
        data.notes[FLAGS_LOST] += bool(set(box.flags) & {"depiction", "inside"})
        difficult = int(box.crowd or "difficult" in box.flags)
        corners = _voc_corners(box, picture, data)
        keys = ("xmin", "ymin", "xmax", "ymax")
        sides = "".join(f"<{key}>{value}</{key}>" for key, value in zip(keys, corners))
        lines += [
            "  <object>",
            f"    <name>{escape(data.classes[box.label])}</name>",
            "    <pose>Unspecified</pose>",
            f"    <truncated>{box.flags.get('truncated', 0)}</truncated>",
            f"    <difficult>{difficult}</difficult>",
            f"    <occluded>{box.flags.get('occluded', 0)}</occluded>",
            f"    <bndbox>{sides}</bndbox>",
            "  </object>",
        ]
    return "\n".join((*lines, "</annotation>", ""))


def _voc_corners(box: Box, picture: Picture, data: DataSet) -> tuple[int, int, int, int]:
    """The corners in whole pixels, at least one pixel wide and high; see voc.py for the convention."""
    x, y, w, h = box.xywh
    left, right = _whole(x, x + w, picture.width)
    top, bottom = _whole(y, y + h, picture.height)
    data.notes[ROUNDED] += (left, top, right, bottom) != (x, y, x + w, y + h)
    # Only the first pixel's number shifts: the last pixel counted from 1 is the coordinate at which it ends.
    return left + 1, top + 1, right, bottom


def _whole(low: float, high: float, limit: int) -> tuple[int, int]:
    first, last = int(low + 0.5), int(high + 0.5)
    # A box that rounding would close is opened to the pixel that it lies in.
    if last <= first:
        first = min(int(low), limit - 1)
        last = first + 1
    return first, last
