"""Pascal VOC: one XML file per image, boxes as pixel numbers from 1 with both ends included.

A VOC box covers the pixels xmin to xmax counted from 1, so that it begins at the continuous coordinate xmin -
1 and ends at xmax (Everingham et al., VOC2007 development kit). Many tools write 0-based coordinates into the
same files instead; ``--origin`` 0 takes those as they stand.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from defusedxml.common import DTDForbidden
from defusedxml.ElementTree import fromstring

from ...errors import UserError, unknown
from ..attributes import FLAGS, enclosing, flags_of
from ..finder import Finder
from ..progress import counted
from ..units import corners
from .model import NO_LABELS, RESPELLED, ROTATED, DataSet, Options, Picture
from .placing import Placer
from .reading import Images, choose_classes, class_file, missing, read_classes, read_file, unneeded
from .registry import LIKELY, NO, SURE, Format, register_format
from .sheet import Sheet
from .voc_layouts import find_parts, label_folder, voc_image_folder, xml_files
from .voc_writer import write_voc

SEGMENTED = "images with segmentation, of which only the boxes are read"
_SIDES = ("xmin", "ymin", "xmax", "ymax")


@register_format
class Voc(Format):
    """Annotations/ and JPEGImages/ with ImageSets/Main/*.txt, or XML files beside the images.

    Either may be inside train/, val/ and so on. Classes are those of classes.txt, else the names found,
    sorted.
    """

    name = "voc"
    labels = (".xml",)
    layout = "Annotations/*.xml and JPEGImages/, or XML files beside the images"
    reading = "xyxy"
    first_pixel = 1

    def detect(self, root: Path) -> int:
        if not root.is_dir() or not any(files for files in xml_files(root)):
            return NO
        return SURE if label_folder(root) else LIKELY

    def read(self, root: Path, options: Options) -> DataSet:
        lines: list[str] = []
        labels = label_folder(root)
        listed = class_file(root, labels or root)
        known = read_classes(listed) if listed else None
        reader = _Reader(root, labels, options, known, self.origin(options))
        splits = {}
        for split, files in find_parts(root, lines).items():
            with unneeded(split, lines):
                splits[split] = reader.read(split, files)
        names = list(reader.names)
        if not names:
            raise UserError(
                f"{root}: no XML file holds an object, so the class list is empty; write classes.txt"
            )
        return choose_classes(DataSet(names, splits, reader.notes, lines), known or sorted(names))

    def write(self, data: DataSet, place: Placer, options: Options) -> None:
        write_voc(data, place)


class _Reader:
    """Reads the XML files of one split after another. Class indices are in the order of ``names``."""

    def __init__(
        self, root: Path, labels: Path | None, options: Options, known: list[str] | None, origin: int
    ) -> None:
        self._root, self._labels = root, labels
        self._options, self._known, self._origin = options, known, origin
        self.names: dict[str, int] = {name: index for index, name in enumerate(known or [])}
        self.notes: Counter[str] = Counter()
        # Each is looked for once, because that lists whole folders.
        self._folders: dict[Path, Path] = {}
        self._images: dict[Path, Images] = {}
        self._finders: dict[Path, Finder] = {}

    def read(self, split: str, files: list[Path]) -> list[Picture]:
        pictures = []
        owner: dict[Path, Path] = {}
        for path in counted(files, f"reading {split}", self._options.progress):
            root = _parse(path)
            folder = self._folder_of(path)
            found = self._image_of(path, root, folder)
            if found is None:
                what = root.findtext("filename") or path.stem
                missing(
                    f"{path}: its image {what} is not in {folder}", self._options.skip_missing, self.notes
                )
                continue
            image, name, respelt = found
            # A second XML file for an image would train and score it twice.
            if image in owner:
                raise UserError(f"{path}: its image {image} is also that of {owner[image]}; remove one")
            owner[image] = path
            pictures.append(self._picture(path, root, image, name, [RESPELLED] * respelt))
        self._note_unlabelled(files, pictures)
        return pictures

    def _note_unlabelled(self, files: list[Path], pictures: list[Picture]) -> None:
        # Images of other splits may lie in a common folder, so that only a folder that holds its own XML
        # files shows which images have no label.
        if files and self._folder_of(files[0]) == files[0].parent:
            beside = self._images[files[0].parent].names
            self.notes[NO_LABELS + ", left out"] += max(0, len(beside) - len(pictures))

    def _folder_of(self, path: Path) -> Path:
        """Where the image of an XML file is looked for first; the same for all XML files of a folder."""
        if path.parent not in self._folders:
            self._folders[path.parent] = voc_image_folder(path, self._root)
        return self._folders[path.parent]

    def _image_of(self, path: Path, root: ElementTree.Element, folder: Path) -> tuple[Path, str, bool] | None:
        """The image's file, its name, and whether it is spelt differently; None where there is no image.

        The stem of the XML file comes before <filename>, because files that were renamed or converted keep
        it.
        """
        named = (root.findtext("filename") or "").strip().replace("\\", "/")
        labels = self._labels
        inner = path.relative_to(labels) if labels and labels in path.parents else Path(path.name)
        stem, suffix = inner.with_suffix("").as_posix(), Path(named).suffix
        # From the most to the least exact: the folder and stem of the XML file first, then what <filename>
        # says.
        keys = [stem + suffix, stem, named, named.rpartition("/")[2], path.stem]
        if folder not in self._images:
            self._images[folder] = Images(folder)
        name = self._images[folder].find(*(key for key in keys if key))
        if name is not None:
            return folder / name, name, False
        # Kept, because a finder walks through all images for the first name that is spelt differently.
        found = self._finders.setdefault(folder, Finder([folder], self._root)).find(named or path.stem)
        return found and (found[0], found[0].name, True)

    def _picture(
        self, path: Path, root: ElementTree.Element, image: Path, name: str, notes: list[str]
    ) -> Picture:
        sheet = Sheet(image, name, self._options, _size(path, root))
        sheet.note(*notes)
        if (root.findtext("segmented") or "0").strip() == "1":
            sheet.note(SEGMENTED)
        for index, element in enumerate(root.findall("object")):
            self._add(sheet, f"{path}: object[{index}]", element)
        return sheet.picture()

    def _add(self, sheet: Sheet, where: str, element: ElementTree.Element) -> None:
        name = (element.findtext("name") or "").strip()
        if not name:
            raise UserError(f"{where} lacks a name; give its class")
        where += f" ({name})"
        if self._known is not None and name not in self.names:
            raise UserError(f"{where}: {unknown('class', name, self._known)}; correct it or the class list")
        label = self.names.setdefault(name, len(self.names))
        about = _attributes(element)
        flags = flags_of(about)
        if element.find("robndbox") is not None:
            # roLabelImg counts from 0 here, other than in a <bndbox>.
            sheet.add_outline(label, _robndbox(where, element), "cxcywh", flags=flags, notes=[ROTATED])
            return
        values = [_field(where, element, f"bndbox/{side}") for side in _SIDES]
        # CVAT writes a rotated box as an upright one with an attribute.
        angle = _number(where, "rotation", about.get("rotation") or "0")
        if angle % 360:
            ltrb = corners(values, "xyxy", sheet.size, self._origin)
            sheet.add(label, _turned(ltrb, angle), flags=flags, notes=[ROTATED])
        else:
            sheet.add_values(label, values, "xyxy", self._origin, flags=flags)


def _attributes(element: ElementTree.Element) -> dict[str, str]:
    """The flags of an object by name, and the attributes that CVAT adds."""
    about = {flag: element.findtext(flag) or "" for flag in FLAGS}
    for attribute in element.iterfind("attributes/attribute"):
        name = (attribute.findtext("name") or "").strip()
        about[name] = about.get(name) or attribute.findtext("value") or ""
    return about


def _robndbox(where: str, element: ElementTree.Element) -> tuple[float, float, float, float]:
    """The upright box around a box of roLabelImg, which has an angle in radians: centre, width, height."""
    x, y, width, height, angle = (
        _field(where, element, f"robndbox/{k}") for k in ("cx", "cy", "w", "h", "angle")
    )
    return (x, y, *enclosing(width, height, angle))


def _turned(ltrb: tuple[float, ...], angle: float) -> tuple[float, float, float, float]:
    """The upright box around one that CVAT turns about its centre, by degrees."""
    left, top, right, bottom = ltrb
    wide, high = enclosing(right - left, bottom - top, math.radians(angle))
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - wide / 2, y - high / 2, x + wide / 2, y + high / 2


def _size(path: Path, root: ElementTree.Element) -> tuple[int, int]:
    """The size that the file gives; (0, 0) where it gives none, as some tools do."""
    texts = [root.findtext(f"size/{side}") for side in ("width", "height")]
    sides = [
        int(_number(path, f"size/{side}", text or "0")) for side, text in zip(("width", "height"), texts)
    ]
    return (0, 0) if 0 in sides else (sides[0], sides[1])


def _field(where: str, element: ElementTree.Element, field: str) -> float:
    text = element.findtext(field)
    if text is None:
        raise UserError(f"{where} lacks {field}; add it")
    return _number(where, field, text)


def _number(where: object, field: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: {field} is {text.strip()!r}; it must be a number")
    return value


def _parse(path: Path) -> ElementTree.Element:
    """The root element of one file. A document type is refused, because it could declare entities."""
    try:
        root = fromstring(read_file(path), forbid_dtd=True)
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
        if root.tag == "annotations" and root.find("image") is not None:
            raise UserError(
                f"{path}: looks like CVAT's own XML, which is not read; export the task as COCO 1.0, "
                "YOLO 1.1 or PASCAL VOC 1.1 instead"
            )
        raise UserError(f"{path}: begins with <{root.tag}>; a VOC file begins with <annotation>")
    return root
