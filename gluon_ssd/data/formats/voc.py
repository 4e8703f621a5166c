"""Reading Pascal VOC: one XML file per image, boxes as 1-based pixel indices with both ends included.

A VOC box covers the pixels xmin to xmax counted from 1, so that it begins at the continuous coordinate
xmin - 1 and ends at xmax (Everingham et al., VOC2007 development kit). Many tools write 0-based coordinates
into the same files instead; ``voc_origin`` 0 takes those as they stand.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Iterator
from xml.etree import ElementTree
from xml.parsers import expat

from defusedxml.common import DTDForbidden
from defusedxml.ElementTree import fromstring

from ...errors import UserError, unknown
from ..progress import counted
from .model import NO_LABELS, NO_SIZE, WRONG_SIZE, Box, DataSet, Options, Picture, clip
from .reading import (
    Images,
    choose_classes,
    class_file,
    image_size,
    missing,
    read_bytes,
    read_classes,
    read_text,
    split_folders,
    visible,
)

AT_ZERO = "boxes that begin at pixel 0, which 1-based files cannot have (0-based files? --voc-origin 0)"
SEGMENTED = "images with segmentation, of which only the boxes are read"
DIFFICULT = {
    "keep": "objects marked difficult, kept as the others",
    "crowd": "objects marked difficult, kept as crowd regions",
    "drop": "objects marked difficult, left out",
}
_FLAGS = ("difficult", "truncated", "occluded")
_SETS = {"train": ("train", "trainval"), "val": ("val",), "test": ("test",)}


def read_voc(root: Path, options: Options) -> DataSet:
    """Read a VOC folder: Annotations/ and JPEGImages/ with ImageSets/Main/*.txt, or XML beside the images, or
    either of them inside train/ and val/.

    Classes are those of classes.txt, else the names found, sorted. Raises UserError, one line that names file
    and field, for anything unsound.
    """
    listed = class_file(root, root / "Annotations")
    known = read_classes(listed) if listed else None
    reader = _Reader(options, known)
    splits = {split: reader.read(split, *part) for split, part in _parts(root).items()}
    names = list(reader.names)
    if not names:
        raise UserError(f"{root}: no XML file holds an object, so the class list is empty; write classes.txt")
    return choose_classes(DataSet(names, splits, reader.notes), known or sorted(names))


def looks_like_voc(root: Path) -> bool:
    """Whether ``root`` or its train/ holds Annotations/ or XML files."""
    return any(
        (folder / "Annotations").is_dir() or visible(folder.glob("*.xml"))
        for folder in (root, *split_folders(root).values())
    )


def _parts(root: Path) -> dict[str, tuple[Path, list[Path]]]:
    """The image folder and the XML files of each split."""
    if not (root / "Annotations").is_dir() and not visible(root.glob("*.xml")):
        folders = split_folders(root)
        parts = {split: (_images_of(folder), _all_xml(folder)) for split, folder in folders.items()}
        if not any(files for _, files in parts.values()):
            raise UserError(f"{root}: neither Annotations/ nor XML files here, in train/ or in val/")
        return parts
    images = _images_of(root)
    sets = {}
    for split, names in _SETS.items():
        lists = [root / "ImageSets" / "Main" / f"{name}.txt" for name in names]
        file = next((path for path in lists if path.is_file()), None)
        if file is not None:
            sets[split] = (images, _listed(root, file))
    return sets or {"train": (images, _all_xml(root))}


def _images_of(folder: Path) -> Path:
    return next((folder / n for n in ("JPEGImages", "images") if (folder / n).is_dir()), folder)


def _all_xml(folder: Path) -> list[Path]:
    inner = folder / "Annotations"
    return visible(inner.rglob("*.xml")) if inner.is_dir() else visible(folder.glob("*.xml"))


def _listed(root: Path, file: Path) -> list[Path]:
    paths = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        # Names may hold blanks, but in the lists of one class a mark (1, 0, -1) stands behind the name.
        stems = (line.strip(), line.rsplit(None, 1)[0].strip())
        candidates = [root / "Annotations" / f"{stem}.xml" for stem in stems]
        found = [path for path in candidates if path.is_file()]
        if not found:
            raise UserError(f"{file} line {number}: {candidates[-1]} does not exist; remove the line")
        paths.append(found[0])
    return paths


class _Reader:
    """Reads the XML files of one folder after another; class indices are in the order of ``names``."""

    def __init__(self, options: Options, known: list[str] | None) -> None:
        self._options, self._known = options, known
        self.names: dict[str, int] = {name: index for index, name in enumerate(known or [])}
        self.notes: Counter[str] = Counter()

    def read(self, split: str, folder: Path, files: list[Path]) -> list[Picture]:
        images, options = Images(folder), self._options
        pictures = []
        owner: dict[str, Path] = {}
        for path in counted(files, f"reading {split}", options.progress):
            root = _parse(path)
            name = _image_of(path, root, images)
            if name is None:
                what = root.findtext("filename") or path.stem
                missing(f"{path}: its image {what} is not in {folder}", options.skip_missing, self.notes)
                continue
            if name in owner:
                image = folder / name
                raise UserError(f"{path}: its image {image} is also that of {owner[name]}; remove one")
            owner[name] = path
            pictures.append(self._picture(path, root, folder, name))
        # Images of other splits lie in the same folder, so only a folder of its own tells of unlabelled ones.
        if folder.name not in ("JPEGImages", "images"):
            self.notes[NO_LABELS + ", left out"] += len(images.names) - len(pictures)
        return pictures

    def _picture(self, path: Path, root: ElementTree.Element, folder: Path, name: str) -> Picture:
        given = _size(path, root)
        size = image_size(folder / name)
        if given != size:
            self.notes[NO_SIZE if given is None else WRONG_SIZE] += 1
        if (root.findtext("segmented") or "0").strip() == "1":
            self.notes[SEGMENTED] += 1
        boxes = [box for box in self._boxes(path, root, size) if box is not None]
        return Picture(folder / name, name, *size, boxes)

    def _boxes(self, path: Path, root: ElementTree.Element, size: tuple[int, int]) -> Iterator[Box | None]:
        options = self._options
        for index, element in enumerate(root.findall("object")):
            name = (element.findtext("name") or "").strip()
            where = f"{path}: object[{index}]" + (f" ({name})" if name else "")
            if not name:
                raise UserError(f"{where} lacks a name; add <name>")
            if self._known is not None and name not in self.names:
                raise UserError(f"{where}: {unknown('class', name, self.names)} (see classes.txt)")
            label = self.names.setdefault(name, len(self.names))
            flags = {flag: 1 for flag in _FLAGS if (element.findtext(flag) or "0").strip() not in ("0", "")}
            xyxy = _corners(where, element, options.voc_origin)
            if options.voc_origin == 1 and min(xyxy[:2]) < 0:
                self.notes[AT_ZERO] += 1
            if "difficult" in flags:
                self.notes[DIFFICULT[options.difficult]] += 1
                if options.difficult == "drop":
                    continue
            xywh = clip(xyxy, *size, self.notes)
            crowd = "difficult" in flags and options.difficult == "crowd"
            yield xywh and Box(label, xywh, crowd, None, flags)


def _image_of(path: Path, root: ElementTree.Element, images: Images) -> str | None:
    """The image's name; files that were renamed or converted keep their XML's stem rather than <filename>."""
    named = (root.findtext("filename") or "").strip().replace("\\", "/")
    parts = path.parent.parts
    start = len(parts) - parts[::-1].index("Annotations") if "Annotations" in parts else len(parts)
    stem, suffix = "/".join((*parts[start:], path.stem)), Path(named).suffix
    keys = [stem + suffix, stem, named, named.rpartition("/")[2], path.stem]
    return images.find(*(key for key in keys if key))


def _size(path: Path, root: ElementTree.Element) -> tuple[int, int] | None:
    """The size that the file gives; None where it gives 0, as some tools do."""
    sides = []
    for side in ("width", "height"):
        text = root.findtext(f"size/{side}")
        if text is None:
            raise UserError(f"{path}: lacks size/{side}; add <size> with the image's pixels")
        sides.append(int(_number(path, f"size/{side}", text)))
    return None if 0 in sides else (sides[0], sides[1])


def _corners(where: str, element: ElementTree.Element, origin: int) -> tuple[float, float, float, float]:
    values = []
    for field in ("xmin", "ymin", "xmax", "ymax"):
        text = element.findtext(f"bndbox/{field}")
        if text is None:
            raise UserError(f"{where} lacks bndbox/{field}; add it")
        values.append(_number(where, f"bndbox/{field}", text))
    left, top, right, bottom = values
    return left - origin, top - origin, right, bottom


def _number(where: object, field: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: {field} is {text.strip()!r}; it must be a number")
    return value


def _parse(path: Path) -> ElementTree.Element:
    """Parses one file. Refuses a document type, because that could declare entities."""
    try:
        root = fromstring(read_bytes(path), forbid_dtd=True)
    except DTDForbidden:
        raise UserError(
            f"{path}: has a document type (<!DOCTYPE ...>), which no VOC file needs; remove it"
        ) from None
    except ElementTree.ParseError as error:
        line, column = error.position
        reason = expat.ErrorString(error.code)
        raise UserError(f"{path}: not XML (line {line}, column {column}: {reason})") from None
    except (ValueError, LookupError) as error:
        raise UserError(f"{path}: its encoding cannot be read ({error}); save it as UTF-8") from None
    if root.tag != "annotation":
        raise UserError(f"{path}: begins with <{root.tag}>; a VOC file begins with <annotation>")
    return root
